"""Where the kernel is measured: regions, stamps, and the stars in them."""
