"""The cross-diffusion operation: its public function, its reference and its fast forms."""
