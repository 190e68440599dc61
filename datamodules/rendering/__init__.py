"""Rendered RGB-D scenes: what they show, the camera, the sensor, and the folder they go to."""
