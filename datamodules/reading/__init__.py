"""Reading what lies on disk: folders, images, depth maps, and a cache of what was decoded."""
