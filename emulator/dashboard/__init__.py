"""The dashboard at `/_emulator/`: what the system does, drawn, and a place to try its functions. Works offline."""
