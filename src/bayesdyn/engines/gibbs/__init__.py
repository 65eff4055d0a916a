"""The production engine: Gibbs sweeps whose cost beside the states does not grow with the exchanges.

Given all states but one construct's, that construct's are a scalar Gaussian chain, drawn at once. Given all
states, every other unknown sees only cross-products of the sessions' columns: coefficients and effects are
Gaussian blocks on those, covariances move by Hamiltonian steps on scatter matrices (design section 6).
"""
