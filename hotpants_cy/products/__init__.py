"""What a kernel makes of the images: convolved planes, difference, noise, statistics."""
