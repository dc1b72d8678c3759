// Package report writes down a run of chaos for people and for programs: one
// HTML page that needs nothing else, with the faults above what clients felt of
// them, the verdicts and, for a violation, porcupine's picture; beside it the
// same as JSON, and every operation as a line of JSON.
package report
