/*
 * net.h - a language model as a sequence of layers, each a sequence of four groups of linears.
 *
 * Owns: which tensors of a checkpoint a network is made of, and the order in which they are
 * applied. Must not know: texts, what the results are for. Every linear is one lq_matmul, dense and
 * quantized alike. Arithmetic is f32; the results do not depend on the number of threads.
 *
 * A layer runs group by group. The linears of a group share their input:
 *
 *     NET_QKV   normed hidden state          q_proj, k_proj, v_proj (GPT-2: c_attn)
 *     NET_O     heads after attention        o_proj
 *     NET_UP    normed hidden state          gate_proj, up_proj
 *     NET_DOWN  activations                  down_proj
 *
 *     for (g = 0; g < NET_GROUPS; g++) {
 *       net_input_of(n, layer, g, state, &in);    the input: in.x[row * in.stride + column]
 *       ...                                       look at it, replace linears of the group
 *       net_output_of(n, layer, g, state);        products, bias, residual
 *     }
 *
 * which net_layer_run does with a hook in the middle. A hidden state may be copied out of `state`
 * and put back, to run a layer again, or to run one layer over many states before the next.
 */
#ifndef QUANT_MODEL_NET_H
#define QUANT_MODEL_NET_H

#include "pool.h"
#include "spec.h"
#include "team.h"
#include "weight.h"

#include <libquant.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum net_group_id { NET_QKV, NET_O, NET_UP, NET_DOWN, NET_GROUPS } net_group_id;

enum { NET_LINEARS_MAX = 3 };

/* y = x W^T + bias */
typedef struct net_linear {
  const char *name;  /* of the weight in the checkpoint, "model.layers.0.self_attn.q_proj.weight" */
  lq_tensor *weight; /* [rows, columns] */
  float *bias;       /* rows values, or NULL */
  size_t rows, columns;
  weight_data data; /* what `weight` lies over; net.c's own */
} net_linear;

typedef struct net_group {
  net_linear linear[NET_LINEARS_MAX]; /* their outputs stand side by side */
  size_t count;
  size_t columns; /* of the input */
  size_t width;   /* of the outputs together */
} net_group;

typedef struct net_norm {
  float *weight, *bias; /* NULL where there is none */
} net_norm;

typedef struct net_layer {
  size_t index;
  net_group group[NET_GROUPS];
  net_norm attention, feed_forward;
  net_norm q, k; /* Qwen3: of each head */
} net_layer;

typedef struct net {
  spec spec;
  const weight_list *weights;
  pool *memory;
  team *workers;
  const char *path;                   /* of the model, for messages */
  const char *prefix;                 /* of its tensors, "model." */
  lq_config *many;                    /* for calls that may use all threads */
  lq_config *one;                     /* for calls from inside a task */
  net_linear embedding, positions;    /* used row by row */
  net_linear project_in, project_out; /* OPT; weight NULL where there is none */
  net_linear head;                    /* weight NULL: the embedding is the head */
  net_norm final;
  float *frequencies; /* of rotary positions, or NULL */
  net_layer *layers;  /* NULL while not resident */
} net;

/* Reads config.json and everything but the layers. The list with its model, the pool and the team
 * must outlive the network. A tensor that is missing, or whose shape contradicts config.json, is an
 * error that names it. */
bool net_open(net **out, const weight_list *l, pool *memory, team *workers, fail *why);
void net_close(net *n); /* NULL is fine */

/* One layer, independent of the others. */
bool net_layer_load(const net *n, size_t index, net_layer *out, fail *why);
void net_layer_free(const net *n, net_layer *layer); /* zeros are fine */

/* Puts another tensor of the same shape in the place of a weight; it belongs to the layer then. */
bool net_linear_replace(const net *n, net_linear *l, lq_tensor *fresh, fail *why);

/* All layers, kept in n->layers as they are stored. `loaded` (may be NULL) is told the bytes of
 * each. */
typedef void (*net_loaded_fn)(void *user, uint64_t bytes);
bool net_load_layers(net *n, net_loaded_fn loaded, void *user, fail *why);
void net_free_layers(net *n);

/* Lets products take the fastest way that the library has, at a small error (LQ_COMPUTE_FAST). */
void net_compute_fast(net *n);

uint64_t net_memory(const net *n); /* bytes of all weights that are resident */

/* ---- running ---- */

/* Sequences of one length, side by side: row = sequence * length + position in this step. */
typedef struct net_state {
  size_t sequences, length; /* of this step */
  size_t past;              /* positions before it, whose keys and values are kept */
  size_t capacity;          /* most positions */
  size_t rows_max;
  bool cached;   /* keys and values of earlier steps are kept */
  size_t kept;   /* layers that have keys and values of their own: all, or 1 for all in turn */
  float *hidden; /* [rows, hidden] */
  float *x;      /* input of a group or output of one, [rows, hidden or heads * head_dim] */
  float *wide;   /* outputs of NET_QKV and NET_UP */
  float *keys;   /* [kept, sequences, kv_heads, capacity, head_dim] */
  float *values; /* [kept, sequences, kv_heads, head_dim, capacity] */
  float *cosines, *sines; /* [capacity, head_dim / 2], or NULL */
} net_state;

/* `cached`: keys and values of all layers are kept, so that a sequence can go on step by step;
 * otherwise every step starts at position 0. `length_max`: positions of one step at most. */
bool net_state_create(const net *n, size_t sequences, size_t capacity, size_t length_max,
                      bool cached, net_state **out, fail *why);
void net_state_destroy(const net *n, net_state *s); /* NULL is fine */

/* Bytes of a state for each row that it holds; for choosing a number of sequences. */
uint64_t net_state_row_bytes(const net *n);

typedef struct net_input {
  const float *x;
  size_t rows, columns, stride; /* in elements */
} net_input;

/* Starts a step: sequences * length token ids become the hidden state. */
bool net_embed(const net *n, net_state *s, const int32_t *ids, size_t sequences, size_t length,
               fail *why);

/* See above. `in` may be NULL. */
bool net_input_of(const net *n, const net_layer *layer, net_group_id g, net_state *s, net_input *in,
                  fail *why);
bool net_output_of(const net *n, const net_layer *layer, net_group_id g, net_state *s, fail *why);

/* Where net_input_of leaves the input of NET_O or NET_DOWN, row by row, `*stride` elements apart:
 * to put it there again in place of a second net_input_of. */
float *net_input_place(const net_layer *layer, net_group_id g, net_state *s, size_t *stride);

typedef bool (*net_hook)(void *user, net_layer *layer, net_group_id g, const net_input *in,
                         fail *why);
bool net_layer_run(const net *n, net_layer *layer, net_state *s, net_hook hook, void *user,
                   fail *why);

/* All resident layers, then net_finish. Polls the interrupt flag between layers. */
bool net_run(const net *n, net_state *s, fail *why);

/* Ends a step: the final norm. s->x then holds rows of `embedding` elements for net_logits, and
 * s->past has moved on if the state is cached. */
bool net_finish(const net *n, net_state *s, fail *why);

/* logits[row * vocab + id] of `rows` rows as net_finish leaves them. */
bool net_logits(const net *n, const float *x, size_t rows, float *logits, fail *why);

#endif
