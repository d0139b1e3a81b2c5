"""From files in the layout of a data set to images with labels."""
