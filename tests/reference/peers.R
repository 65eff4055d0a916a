# What lme4, nlme and lavaan make of the data sets that the structural engine is checked against.
# Run in this folder: Rscript peers.R FOLDER    where FOLDER holds the csv files (shared/data/longitudinal_reference)
# (Debian: r-cran-lme4, r-cran-nlme, r-cran-lavaan, r-cran-jsonlite). A minute's work. Writes peers.json.
library(lme4)
library(nlme)
library(lavaan)
library(jsonlite)

folder <- commandArgs(trailingOnly = TRUE)[1]
read <- function(name) read.csv(file.path(folder, name))
tight <- lmerControl(optimizer = "bobyqa", check.conv.singular = "ignore",
                     optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
mixed <- function(fit) {
  table <- coef(summary(fit))
  list(estimate = as.list(table[, "Estimate"]), se = as.list(table[, "Std. Error"]))
}

# lme4's own example, by REML.
sleep <- read("lme4_sleepstudy.csv")
fit <- lmer(Reaction ~ Days + (Days | Subject), sleep, REML = TRUE, control = tight)
sleepstudy <- c(mixed(fit), list(group_cov = matrix(VarCorr(fit)$Subject, 2), residual_cov = matrix(sigma(fit)^2)))

# Daily stress: x, m and y are deviations from each person's mean, so persons have no intercepts of their own.
# Both equations at once, stacked (Bauer, Preacher & Gil 2006), with a residual variance for each outcome and one
# covariance of the random slopes over both.
daily <- read("bmlm_BLch9.csv")
stack <- rbind(
  with(daily, data.frame(id, which = "m", z = m, m0 = 1, mx = x, y0 = 0, yx = 0, ym = 0)),
  with(daily, data.frame(id, which = "y", z = y, m0 = 0, mx = 0, y0 = 1, yx = x, ym = m))
)
both <- lme(z ~ 0 + m0 + mx + y0 + yx + ym, random = ~ 0 + mx + yx + ym | id, data = stack,
            weights = varIdent(form = ~ 1 | which), method = "REML",
            control = lmeControl(maxIter = 500, msMaxIter = 500, niterEM = 200, opt = "optim"))
table <- summary(both)$tTable
mediation_both <- list(estimate = as.list(table[, "Value"]), se = as.list(table[, "Std.Error"]),
                       group_cov = matrix(getVarCov(both), 3))
ratio <- coef(both$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[c("m", "y")]
mediation_both$residual_cov <- diag((both$sigma * ratio)^2)

# Couples, distinguishable by gender: actor and partner effects, correlated residuals.
couples <- read("dyadr_acipair.csv")
couples$g <- factor(couples$Gender_A)
apim_fit <- gls(Satisfaction_A ~ 0 + g + g:OtherPos_A + g:OtherPos_P, data = couples,
                correlation = corCompSymm(form = ~ 1 | CoupleID), weights = varIdent(form = ~ 1 | g),
                method = "ML", na.action = na.omit)
table <- summary(apim_fit)$tTable
sds <- apim_fit$sigma * coef(apim_fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[c("1", "2")]
rho <- coef(apim_fit$modelStruct$corStruct, unconstrained = FALSE)
# nlme widens the standard errors of ML by sqrt(N / (N - p)); taken back.
narrower <- sqrt(1 - nrow(table) / apim_fit$dims$N)
apim <- list(estimate = as.list(table[, "Value"]), se = as.list(narrower * table[, "Std.Error"]),
             residual_cov = outer(sds, sds) * matrix(c(1, rho, rho, 1), 2))

# Two outcomes, two levels, no latent variable: what the model language holds of lavaan's tutorial.
two <- read("lavaan_Demo.twolevel.csv")
two_fit <- sem("
  level: 1
    y1 + y2 ~ x1 + x2 + x3
    y1 ~~ y2
  level: 2
    y1 + y2 ~ w1 + w2
    y1 ~~ y2
  ", data = two, cluster = "cluster",
  # lavaan's default optimiser stops .0015 SE short of the intercepts' estimates; EM does not.
  optim.method = "em", em.iter.max = 5000, em.fx.tol = 1e-12, em.dx.tol = 1e-7)
named <- function(fit, keep) {
  table <- parameterEstimates(fit)
  table$name <- paste0(table$lhs, table$op, table$rhs)
  if ("level" %in% names(table)) table$name <- paste0(table$name, "@", table$level)
  table <- table[keep(table), ]
  table <- table[!duplicated(table$name), ]
  list(estimate = as.list(setNames(table$est, table$name)), se = as.list(setNames(table$se, table$name)))
}
implied <- lavInspect(two_fit, "est")
pair <- c("y1", "y2")
twolevel <- named(two_fit, function(t) t$op == "~" | (t$op == "~1" & t$level == 2 & t$lhs %in% pair))
twolevel$residual_cov <- matrix(implied$within$psi[pair, pair], 2)
twolevel$group_cov <- matrix(implied$cluster$psi[pair, pair], 2)

# Autoregression in deviations from a person's own mean, the first wave free: the first 100 persons with all
# five waves. `error` fixes each score's error variance, so that the states are latent; `times` may leave gaps, at
# which states have no score.
panel <- read("ctsem_AnomAuth.csv")
panel <- head(panel[complete.cases(panel[, 1:10]), 1:10], 100)
dynamics <- function(variables, error = c(0, 0), times = 0:4) {
  lines <- character()
  add <- function(...) lines <<- c(lines, sprintf(...))
  for (v in variables) {
    add("R%d =~ %s", v, paste(sprintf("1*Y%d_T%d", v, 0:4), collapse = " + "))
    for (t in 0:max(times)) {
      wave <- match(t, times) - 1
      if (is.na(wave)) add("W%d%d =~ 0*Y%d_T0", v, t, v) else add("W%d%d =~ 1*Y%d_T%d", v, t, v, wave)
      if (t == 0) add("W%d0 ~~ start%d%d*W%d0", v, v, v, v) else add("W%d%d ~~ residual%d%d*W%d%d", v, t, v, v, v, t)
      if (t > 0) for (u in variables) add("W%d%d ~ lag%d%d*W%d%d", v, t, v, u, u, t - 1)
    }
    for (wave in 0:4) {
      add("Y%d_T%d ~~ %.10f*Y%d_T%d", v, wave, error[v], v, wave)
      add("Y%d_T%d ~ mean%d*1", v, wave, v)
    }
    add("R%d ~~ level%d%d*R%d", v, v, v, v)
  }
  if (length(variables) == 2) {
    add("R1 ~~ level12*R2")
    add("W10 ~~ start12*W20")
    for (t in 1:max(times)) add("W1%d ~~ residual12*W2%d", t, t)
  }
  fit <- lavaan(paste(lines, collapse = "\n"), data = panel, meanstructure = TRUE)
  stopifnot(lavInspect(fit, "converged"))
  table <- parameterEstimates(fit)
  table <- table[table$label != "" & !duplicated(table$label), ]
  list(estimate = as.list(setNames(table$est, table$label)), se = as.list(setNames(table$se, table$label)))
}
variance <- c(var(unlist(panel[, c(1, 3, 5, 7, 9)])), var(unlist(panel[, c(2, 4, 6, 8, 10)])))

write_json(
  list(
    versions = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                    nlme = as.character(packageVersion("nlme")), lavaan = as.character(packageVersion("lavaan"))),
    sleepstudy = sleepstudy, mediation_both = mediation_both, apim = apim, twolevel = twolevel,
    ar1 = dynamics(1), ar1_gaps = dynamics(1, times = c(0, 1, 2, 4, 6)), two_equations = dynamics(1:2),
    two_equations_error = c(dynamics(1:2, error = 0.1 * variance), list(error_variance = 0.1 * variance))
  ),
  "peers.json", auto_unbox = TRUE, digits = 10, pretty = TRUE
)
