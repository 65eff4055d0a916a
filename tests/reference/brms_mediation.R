# The mediation of bmlm's BLch9 as two equations whose random slopes covary, by brms: the posterior under wide priors.
# Run in this folder: Rscript brms_mediation.R FOLDER    where FOLDER holds the csv files, as for peers.R
# (Debian: r-cran-brms, r-cran-bh, r-cran-jsonlite). Minutes, for Stan's compilation. Writes brms_mediation.json,
# in the raw units of m and y.
library(brms)
library(jsonlite)
rstan::rstan_options(boost_lib = "/usr/include")

folder <- commandArgs(trailingOnly = TRUE)[1]
daily <- read.csv(file.path(folder, "bmlm_BLch9.csv"))
# The priors of the test that reads this file, whose outcomes are in units of their SDs.
unit <- c(m = sd(daily$m), y = sd(daily$y))
data <- transform(daily, m = (m - mean(m)) / unit["m"], y = (y - mean(y)) / unit["y"])
priors <- empty_prior()
for (outcome in c("m", "y")) {
  priors <- c(priors,
    set_prior("normal(0, 10)", class = "b", resp = outcome),
    set_prior("normal(0, 10)", class = "Intercept", resp = outcome),
    set_prior("normal(0, 10)", class = "sigma", resp = outcome),
    set_prior("normal(0, 10)", class = "sd", resp = outcome))
}
priors <- c(priors, set_prior("lkj(1)", class = "cor"))
fit <- brm(bf(m ~ x + (0 + x | p | id)) + bf(y ~ x + m + (0 + x + m | p | id)) + set_rescor(FALSE),
           data = data, prior = priors, chains = 4, cores = 2, iter = 3000, warmup = 1000, seed = 22, refresh = 0)
names <- c(m_Intercept = "m", m_x = "m", y_Intercept = "y", y_x = "y", y_m = "y")
draws <- posterior::subset_draws(posterior::as_draws_array(fit), paste0("b_", names(names)))
own <- unit[names] / c(1, 1, 1, 1, unit["m"])
shift <- c(mean(daily$m), 0, mean(daily$y) , 0, 0)
found <- as.data.frame(posterior::summarise_draws(draws, "mean", "sd", "ess_bulk", "rhat"))
slope <- found$mean[5] * unit["y"] / unit["m"]
found$mean <- found$mean * own + shift - c(0, 0, slope * mean(daily$m), 0, 0)
found$sd <- found$sd * own
write_json(
  list(
    versions = list(R = R.version.string, brms = as.character(packageVersion("brms")),
                    rstan = as.character(packageVersion("rstan"))),
    posterior = lapply(split(found[, -1], found$variable), as.list)
  ),
  "brms_mediation.json", auto_unbox = TRUE, digits = 10
)
print(found)
