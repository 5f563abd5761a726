"""Pure builders: molecules, conformers, ion pairs, slabs, poses. Same arguments, same atoms."""
