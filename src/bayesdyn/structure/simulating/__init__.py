"""What a simulated study is made of: lengths, covariates, spreads, states, truth, raters."""
