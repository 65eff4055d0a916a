# Variance components of incomplete tables of ratings by lme4 (REML), stored beside the tables they are of.
# Run in this folder: Rscript agreement_lme4.R    (Debian: r-cran-lme4, r-cran-jsonlite)
library(lme4)
library(jsonlite)

case <- function(name, seed, items, raters, sd_items, sd_raters, sd_residual, missing) {
  set.seed(seed)
  data <- expand.grid(item = seq_len(items), rater = seq_len(raters))
  data$value <- round(
    rnorm(items, 0, sd_items)[data$item] + rnorm(raters, 0, sd_raters)[data$rater] +
      rnorm(nrow(data), 0, sd_residual), 3)
  data <- data[runif(nrow(data)) > missing, ]
  fit <- lmer(value ~ 1 + (1 | item) + (1 | rater), data, REML = TRUE,
              control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5)))
  parts <- as.data.frame(VarCorr(fit))
  get <- function(group) parts$vcov[parts$grp == group]
  list(name = name, items = get("item"), raters = get("rater"), residual = get("Residual"), data = data)
}

cases <- list(
  case("four raters, a third missing", 1, 60, 4, 1.0, 0.5, 0.8, 0.33),
  case("many raters, few ratings each", 2, 50, 30, 0.7, 0.4, 1.0, 0.9),
  case("raters alike", 3, 40, 3, 1.0, 0.0, 0.6, 0.2)
)
version <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
write_json(list(versions = version, cases = cases), "agreement_lme4.json",
           auto_unbox = TRUE, digits = 10, dataframe = "columns")
