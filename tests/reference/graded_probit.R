# Maximum likelihood of the probit graded response model, stored beside the response patterns that it is of.
# Run in this folder: Rscript graded_probit.R    (Debian: r-cran-ordinal, r-cran-statmod, r-cran-jsonlite)
#
#   P(value_ir <= k) = Phi(t_rk - a_r theta_i),   theta_i ~ N(0, 1),   value 1 to 5, r = 1 to 3
#
# Two programs judge each other: the marginal likelihood written out below, on 101 Gauss-Hermite points that
# stay where they are, and ordinal::clmm2 (adaptive quadrature), whose nominal and scale effects give each
# rater thresholds c_rk and a scale z_r of its own: P(value_ir <= k) = Phi((c_rk - sd u_i) / z_r), so that
# t_rk = c_rk / z_r and a_r = sd / z_r.
library(ordinal)
library(statmod)
library(jsonlite)

raters <- 3
points <- 5
exchanges <- 800
truth <- list(
  a = c(0.6, 1.1, 2.0),
  t = rbind(c(-0.30, 0.35, 0.95, 1.60), c(-0.40, 0.25, 1.00, 2.00), c(-0.50, 0.60, 1.50, 2.70)))

# theta first, then one normal error a rating: value = 1 + how many thresholds lie below a theta + error.
set.seed(20261123)
theta <- rnorm(exchanges)
latent <- outer(theta, truth$a) + matrix(rnorm(exchanges * raters), exchanges)
value <- sapply(seq_len(raters), function(r) 1 + rowSums(outer(latent[, r], truth$t[r, ], ">")))

key <- apply(value, 1, paste, collapse = "")
counted <- table(key)
patterns <- t(sapply(strsplit(names(counted), ""), as.integer))
count <- as.integer(counted)

nodes <- gauss.quad.prob(101, "normal", mu = 0, sigma = 1)

# Free coordinates of a rater: log a, the first threshold, logs of the gaps between thresholds.
unpack <- function(x) {
  x <- matrix(x, raters, byrow = TRUE)
  list(a = exp(x[, 1]),
       t = t(apply(x[, -1], 1, function(row) cumsum(c(row[1], exp(row[-1]))))))
}

# log P(pattern, theta) at the nodes, weights included: one row a pattern.
log_joint <- function(at) {
  found <- matrix(log(nodes$weights), nrow(patterns), length(nodes$nodes), byrow = TRUE)
  for (r in seq_len(raters)) {
    below <- pnorm(outer(c(-Inf, at$t[r, ], Inf), at$a[r] * nodes$nodes, "-"))
    found <- found + log(pmax(diff(below), 1e-300))[patterns[, r], ]
  }
  found
}

log_sum <- function(rows) {
  top <- apply(rows, 1, max)
  top + log(rowSums(exp(rows - top)))
}

log_likelihood <- function(x) sum(count * log_sum(log_joint(unpack(x))))

start <- rep(c(0, -0.3, log(0.6), log(0.6), log(0.6)), raters)
slope <- function(x) numDeriv::grad(log_likelihood, x)
fit <- nlminb(start, function(x) -log_likelihood(x), gradient = function(x) -slope(x))$par
# Newton's steps to the very top: nlminb stops where the likelihood no longer shows a difference.
for (step in 1:2) fit <- fit - solve(numDeriv::hessian(log_likelihood, fit), slope(fit))
stopifnot(max(abs(slope(fit))) < 1e-5)
best <- unpack(fit)

long <- data.frame(
  value = factor(as.vector(value), levels = seq_len(points), ordered = TRUE),
  rater = factor(rep(seq_len(raters), each = exchanges)),
  exchange = factor(rep(seq_len(exchanges), raters)))
other <- clmm2(value ~ 1, nominal = ~ rater, scale = ~ rater, random = exchange, data = long,
               link = "probit", nAGQ = 31, Hess = FALSE,
               control = clmm2.control(grtol = 1e-7, maxIter = 500))
# Treatment contrasts: the first row of Theta is rater 1's thresholds, the others what is added to them.
thresholds <- other$Theta
thresholds[-1, ] <- sweep(thresholds[-1, ], 2, thresholds[1, ], "+")
scale <- c(1, exp(other$zeta))
of_clmm2 <- list(
  a = unname(as.vector(other$stDev) / scale),
  t = unname(thresholds / scale),
  log_likelihood = as.numeric(other$logLik))

rows <- log_joint(best)
weight <- exp(rows - log_sum(rows))
mean <- as.vector(weight %*% nodes$nodes)
sd <- sqrt(as.vector(weight %*% nodes$nodes^2) - mean^2)

# Both maximise the same likelihood: whoever reads the file need not trust one of them.
stopifnot(abs(of_clmm2$log_likelihood - log_likelihood(fit)) < 1e-6,
          max(abs(of_clmm2$a - best$a), abs(of_clmm2$t - best$t)) < 1e-4)

version <- list(R = R.version.string, ordinal = as.character(packageVersion("ordinal")),
                statmod = as.character(packageVersion("statmod")))
write_json(
  list(versions = version, truth = truth, floor = colMeans(value == 1),
       patterns = list(value = patterns, count = count),
       maximum = list(a = best$a, t = best$t, log_likelihood = log_likelihood(fit)),
       clmm2 = of_clmm2,
       scores = list(mean = mean, sd = sd)),
  "graded_probit.json", auto_unbox = TRUE, digits = 12)
