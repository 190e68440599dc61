"""Whatever prints or draws."""
