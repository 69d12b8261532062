/*
 * rope.c - see rope.h.
 *
 * Frequencies are computed in f32, step by step as transformers does it: position 1000 times a last
 * bit of a frequency is an angle that can be seen in the logits.
 */
#include "rope.h"

#include <math.h>
#include <string.h>

static const double two_pi = 6.283185307179586476925286766559;

typedef struct rope_source {
  const json_doc *doc;
  json_id at, root;
  uint64_t max_positions;
} rope_source;

static bool read_type(spec_rope *out, const rope_source *c, fail *why)
{
  static const struct {
    const char *name;
    spec_rope_type type;
  } known[] = {{"default", ROPE_DEFAULT},
               {"linear", ROPE_LINEAR},
               {"dynamic", ROPE_DYNAMIC},
               {"llama3", ROPE_LLAMA3},
               {"yarn", ROPE_YARN}};
  const char *text = "default";

  if (!json_opt_string(c->doc, c->at, "type", &text, why) ||
      !json_opt_string(c->doc, c->at, "rope_type", &text, why))
    return false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(text, known[i].name) == 0) {
      out->type = known[i].type;
      return true;
    }
  return fail_set(why, FAIL_UNSUPPORTED, json_file(c->doc),
                  "rotary positions of type '%s' are not supported; default, linear, dynamic, "
                  "llama3 and yarn are",
                  text);
}

/* A root member original_max_position_embeddings goes before one in the parameters; without both it
 * is max_position_embeddings. */
static bool read_original(spec_rope *out, const rope_source *c, fail *why)
{
  static const char name[] = "original_max_position_embeddings";

  out->original_positions = (double)c->max_positions;
  return json_opt_f64(c->doc, c->at, name, &out->original_positions, why) &&
         json_opt_f64(c->doc, c->root, name, &out->original_positions, why);
}

static double magnitude_scale(double scale, double m)
{
  return scale <= 1 ? 1 : 0.1 * m * log(scale) + 1;
}

static bool read_yarn(spec_rope *out, const rope_source *c, fail *why)
{
  double m = 0, m_all = 0, attention = 0;

  out->truncate = true;
  if (!json_opt_f64(c->doc, c->at, "beta_fast", &out->beta_fast, why) ||
      !json_opt_f64(c->doc, c->at, "beta_slow", &out->beta_slow, why) ||
      !json_opt_f64(c->doc, c->at, "mscale", &m, why) ||
      !json_opt_f64(c->doc, c->at, "mscale_all_dim", &m_all, why) ||
      !json_opt_f64(c->doc, c->at, "attention_factor", &attention, why) ||
      !json_opt_bool(c->doc, c->at, "truncate", &out->truncate, why))
    return false;
  if (out->beta_fast == 0)
    out->beta_fast = 32;
  if (out->beta_slow == 0)
    out->beta_slow = 1;
  if (attention != 0)
    out->attention_factor = attention;
  else if (m != 0 && m_all != 0)
    out->attention_factor = magnitude_scale(out->factor, m) / magnitude_scale(out->factor, m_all);
  else
    out->attention_factor = magnitude_scale(out->factor, 1);
  return true;
}

static bool positive(const rope_source *c, const char *name, double v, fail *why)
{
  if (v > 0 && isfinite(v))
    return true;
  return fail_set(why, FAIL_FORMAT, json_file(c->doc),
                  "%s of the rotary positions is not a number above 0", name);
}

static bool check_rope(const spec_rope *r, const rope_source *c, fail *why)
{
  if (!positive(c, "rope_theta", r->theta, why) || !positive(c, "factor", r->factor, why))
    return false;
  if (r->type == ROPE_LLAMA3 &&
      (!positive(c, "low_freq_factor", r->low_freq_factor, why) ||
       !positive(c, "high_freq_factor", r->high_freq_factor - r->low_freq_factor, why)))
    return false;
  if (r->type == ROPE_LLAMA3 || r->type == ROPE_YARN)
    return positive(c, "original_max_position_embeddings", r->original_positions, why);
  return true;
}

bool rope_read(spec_rope *out, const json_doc *config, uint64_t max_positions, fail *why)
{
  json_id root = json_root(config);
  rope_source c = {config, json_get(config, root, "rope_scaling"), root, max_positions};
  double partial = 1;

  if (json_count(config, c.at) == 0)
    c.at = json_get(config, root, "rope_parameters");
  if (json_kind_of(config, json_get(config, c.at, "full_attention")) == JSON_OBJECT)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(config),
                    "rotary positions that differ between layers are not supported");
  *out = (spec_rope){.theta = 10000, .attention_factor = 1};
  if (!read_type(out, &c, why) || !json_opt_f64(config, root, "rope_theta", &out->theta, why) ||
      !json_opt_f64(config, c.at, "rope_theta", &out->theta, why) ||
      !json_opt_f64(config, root, "partial_rotary_factor", &partial, why) ||
      !json_opt_f64(config, c.at, "partial_rotary_factor", &partial, why) ||
      !json_opt_f64(config, c.at, "factor", &out->factor, why) ||
      !json_opt_f64(config, c.at, "low_freq_factor", &out->low_freq_factor, why) ||
      !json_opt_f64(config, c.at, "high_freq_factor", &out->high_freq_factor, why) ||
      !read_original(out, &c, why))
    return false;
  if (partial != 1)
    return fail_set(why, FAIL_UNSUPPORTED, json_file(config),
                    "a partial_rotary_factor other than 1 is not supported");
  if (out->factor == 0 && out->type == ROPE_YARN && out->original_positions > 0)
    out->factor = (double)max_positions / out->original_positions;
  if (out->type == ROPE_DEFAULT)
    out->factor = 1;
  return (out->type != ROPE_YARN || read_yarn(out, &c, why)) && check_rope(out, &c, why);
}

/* Llama 3.1: long waves are stretched, short ones stay, those between are mixed. */
static float scale_llama3(const spec_rope *r, float f)
{
  float wave = (float)two_pi / f, original = (float)r->original_positions;
  float low = (float)r->low_freq_factor, high = (float)r->high_freq_factor;
  float factor = (float)r->factor, mix;

  if (wave > original / low)
    return f / factor;
  if (wave < original / high)
    return f;
  mix = (original / wave - low) / (high - low);
  return (1 - mix) * f / factor + mix * f;
}

/* YaRN: the index of the pair that turns `turns` times within the original length. */
static double yarn_index(const spec_rope *r, size_t dim, double turns)
{
  return (double)dim * log(r->original_positions / (turns * two_pi)) / (2 * log(r->theta));
}

static void scale_yarn(const spec_rope *r, size_t dim, float *f)
{
  double low = yarn_index(r, dim, r->beta_fast), high = yarn_index(r, dim, r->beta_slow);

  if (r->truncate) {
    low = floor(low);
    high = ceil(high);
  }
  low = fmax(low, 0);
  high = fmin(high, (double)dim - 1);
  if (low == high)
    high += 0.001;
  for (size_t i = 0; i < dim / 2; i++) {
    float ramp = ((float)i - (float)low) / (float)(high - low);
    float own = 1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp);

    f[i] = f[i] / (float)r->factor * (1 - own) + f[i] * own;
  }
}

void rope_frequencies(const spec *s, float *out)
{
  const spec_rope *r = &s->rope;
  size_t dim = (size_t)s->head_dim;

  for (size_t i = 0; i < dim / 2; i++) {
    float f = 1 / powf((float)r->theta, (float)(2 * i) / (float)dim);

    if (r->type == ROPE_LINEAR)
      f /= (float)r->factor;
    else if (r->type == ROPE_LLAMA3)
      f = scale_llama3(r, f);
    out[i] = f;
  }
  if (r->type == ROPE_YARN)
    scale_yarn(r, dim, out);
}

void rope_tables(const spec *s, const float *frequencies, size_t count, float *cosines,
                 float *sines)
{
  size_t half = (size_t)s->head_dim / 2;
  float scale = (float)s->rope.attention_factor;

  for (size_t p = 0; p < count; p++)
    for (size_t i = 0; i < half; i++) {
      float angle = (float)p * frequencies[i];

      cosines[p * half + i] = cosf(angle) * scale;
      sines[p * half + i] = sinf(angle) * scale;
    }
}

void rope_rotate(float *head, size_t head_dim, const float *cosines, const float *sines)
{
  size_t half = head_dim / 2;

  for (size_t i = 0; i < half; i++) {
    float a = head[i], b = head[i + half];

    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}
