"""The mathematics of diffusion that images and tables share."""
