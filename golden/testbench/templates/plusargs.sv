//           +seed=N    of the pauses (0)
//           +stall=N   pause N of 100 cycles on every stream, 0 to 99; without it a mixture
//           +idle=N    a hang is N cycles without a transfer
//           +resets=N  after the whole run, N resets at random moments of short runs (64)
