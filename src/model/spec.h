/*
 * spec.h - the hyper-parameters of a decoder-only language model, from its config.json.
 *
 * Owns: which architectures the tool runs, the names and defaults of their members as transformers
 * has them, in its older and its newer spelling. Must not know: tensors, arithmetic.
 */
#ifndef QUANT_MODEL_SPEC_H
#define QUANT_MODEL_SPEC_H

#include "../files/fail.h"
#include "../files/json.h"

#include <stdbool.h>
#include <stdint.h>

/* What a family shares: the names of its tensors, its kind of norm, how positions enter. */
typedef enum spec_family {
  SPEC_LLAMA, /* Llama, Mistral, Qwen2, Qwen3: RMS norm, rotated q and k, gated feed-forward */
  SPEC_OPT,   /* LayerNorm, learned positions with two places in front */
  SPEC_GPT2   /* LayerNorm, learned positions, q, k and v in one matrix, stored transposed */
} spec_family;

typedef enum spec_act {
  SPEC_SILU,
  SPEC_RELU,
  SPEC_GELU,      /* with the error function */
  SPEC_GELU_TANH, /* with the tanh that approximates it */
  SPEC_GELU_QUICK /* x sigmoid(1.702 x) */
} spec_act;

typedef enum spec_rope_type {
  ROPE_DEFAULT,
  ROPE_LINEAR,
  ROPE_DYNAMIC, /* up to max_positions: the same as the default */
  ROPE_LLAMA3,
  ROPE_YARN
} spec_rope_type;

typedef struct spec_rope {
  spec_rope_type type;
  double theta, factor;
  double original_positions; /* llama3, yarn */
  double low_freq_factor, high_freq_factor;
  double beta_fast, beta_slow, attention_factor; /* yarn */
  bool truncate;
} spec_rope;

enum { SPEC_LAYERS_MAX = 1024 };

typedef struct spec {
  const char *architecture; /* constant text, "LlamaForCausalLM" */
  spec_family family;
  spec_act act;
  uint64_t vocab, hidden, feed_forward, layers, heads, kv_heads, head_dim;
  uint64_t embedding;     /* columns of the embedding; OPT may project it to `hidden` */
  uint64_t max_positions; /* the longest sequence it was made for */
  bool learned_positions; /* no more than max_positions then */
  double norm_eps;
  bool qkv_bias, o_bias, mlp_bias;
  bool gated;       /* feed-forward: down(act(gate(x)) * up(x)), else down(act(up(x))) */
  bool qk_norm;     /* Qwen3: q and k of each head are normed before they are rotated */
  bool norm_first;  /* norm what goes into a part; else what comes out of it */
  bool norm_affine; /* LayerNorm with weight and bias */
  bool final_norm;
  bool tied;                       /* the output head is the embedding */
  bool scale_scores;               /* by 1 / sqrt(head_dim) */
  bool scale_by_layer;             /* and by 1 / (layer + 1): GPT-2's option */
  uint64_t sliding_window;         /* keys that a token sees, itself included; 0: all before it */
  uint8_t slides[SPEC_LAYERS_MAX]; /* 1: the window holds in this layer */
  spec_rope rope;
  int64_t bos; /* -1: none */
} spec;

/* FAIL_UNSUPPORTED names an architecture, or a part of one, that the tool does not run. */
bool spec_read(spec *out, const json_doc *config, fail *why);

/* Rows of the tables of learned positions that come before position 0. */
uint64_t spec_position_offset(const spec *s);

/* Keys that a token of this layer sees at most; 0: no bound. */
uint64_t spec_window(const spec *s, uint64_t layer);

/* What scores are multiplied by. */
float spec_score_scale(const spec *s, uint64_t layer);

#endif
