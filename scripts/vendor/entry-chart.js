// What draws curves of many points.
export { default as uPlot } from "uplot";
