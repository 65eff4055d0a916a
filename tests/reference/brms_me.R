# A moderation with a predictor measured with known error, by brms with me(): 300 simulated rows and the posterior.
# Run in this folder: Rscript brms_me.R    (Debian: r-cran-brms, r-cran-bh, r-cran-jsonlite). Minutes, for Stan's
# compilation. Writes brms_me.json.
library(brms)
library(jsonlite)
rstan::rstan_options(boost_lib = "/usr/include")

set.seed(20)
rows <- 300
truth <- rnorm(rows, 0.5, 1)
z <- round(rnorm(rows), 3)
sdx <- round(runif(rows, 0.4, 0.9), 3)
x <- round(rnorm(rows, truth, sdx), 3)
y <- round(1 + 0.5 * truth + 0.3 * z - 0.25 * truth * z + rnorm(rows, 0, 0.7), 3)
data <- data.frame(y, x, sdx, z)

# The priors are those of the test that reads this file. brms' intercept is that of centred z; z has no mean to
# speak of, and the prior is wide.
priors <- c(
  set_prior("normal(0, 10)", class = "b"), set_prior("normal(0, 10)", class = "Intercept"),
  set_prior("normal(0, 2)", class = "sigma"),
  set_prior("normal(0, 10)", class = "meanme"), set_prior("normal(0, 2)", class = "sdme")
)
fit <- brm(y ~ me(x, sdx) * z, data = data, prior = priors, chains = 4, cores = 1, iter = 2500, warmup = 500,
           seed = 21, refresh = 0, save_pars = save_pars(latent = FALSE))
draws <- posterior::summarise_draws(posterior::as_draws_df(fit), "mean", "sd", "ess_bulk", "rhat")
draws <- draws[!grepl("^(lp|lprior)", draws$variable), ]
write_json(
  list(
    versions = list(R = R.version.string, brms = as.character(packageVersion("brms")),
                    rstan = as.character(packageVersion("rstan"))),
    posterior = lapply(split(draws, draws$variable), function(row) as.list(row[, -1])), data = data
  ),
  "brms_me.json", auto_unbox = TRUE, digits = 10, dataframe = "columns"
)
print(draws)
