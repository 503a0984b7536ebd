"""What was tried on qreg, each attack a function: what an attacker did must fail."""
