"""Evidence about a canary, as e-processes.

An e-process is a number that starts at 1 and has an expectation of at most 1 at every time while its null hypothesis
holds. By Ville's inequality the probability that it reaches 1/alpha at any time is at most alpha, however often one looks. Here
the randomness is the router's own: which arm a key is assigned to. So nothing is assumed about error rates: they may
differ by key and change with time.

G. Shafer, "Testing by betting", JRSS A 184 (2021); A. Ramdas et al., "Game-theoretic statistics and safe anytime-valid
inference", Statistical Science 38 (2023).
"""
