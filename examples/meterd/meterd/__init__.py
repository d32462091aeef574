"""Says how busy the machine is."""
