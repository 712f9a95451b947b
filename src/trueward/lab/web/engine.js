// The engine as one thing: what the Python twin is compared with.

import { uniform } from "./chance.js";
import { lossOf, nextPair, parseClicks, trained, writeClicks } from "./clicks.js";
import { gradient, proxies } from "./core.js";
import { annotated } from "./lesson.js";
import { anchorSlope, goOn, objective, policyOf, shortForm, startRun } from "./policy.js";
import { bestObjective, bestOf, covariance, optimum, sweep } from "./tilt.js";
import { judge, spread } from "./verdict.js";

export const ENGINE = {
  uniform,
  lossOf,
  nextPair,
  parseClicks,
  writeClicks,
  trained,
  gradient,
  proxies,
  annotated,
  anchorSlope,
  shortForm,
  startRun,
  goOn,
  objective,
  policyOf,
  optimum,
  bestObjective,
  sweep,
  bestOf,
  covariance,
  judge,
  spread,
};
