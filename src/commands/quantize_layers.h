/*
 * quantize_layers.h - how a calibrated method did, by layers. For quantize_report.c.
 *
 * Owns: the two ratios that tell it. Must not know: options.
 */
#ifndef QUANT_COMMANDS_QUANTIZE_LAYERS_H
#define QUANT_COMMANDS_QUANTIZE_LAYERS_H

#include "../files/json.h"
#include "quantize.h"

/* How far the outputs are off on the calibration data, as a share of them. */
double quantize_output_error(const lq_report *r);

/* Squared error of the outputs, as a share of what nearest rounding gives. */
double quantize_against_nearest(const lq_report *r);

/* A table on standard output, and the names of the worst five. */
bool quantize_print_layers(const quantize_job *job, fail *why);

/* The members "layers" and "worst_outputs". */
bool quantize_json_layers(json_printer *p, const quantize_job *job, fail *why);

#endif
