"""What is solved: systems and their potentials, masses, geometry, the natural scale, and checks of what a user brings."""
