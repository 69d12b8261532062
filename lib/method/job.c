/*
 * job.c - what encoders of every method need of their source: values that are not finite, and
 * chunks as f32.
 *
 * Owns: the policy for NaN and infinity.
 * Must not know: codes and scales.
 */
#include "method.h"

static void atomic_lower(atomic_uint_fast64_t *target, uint64_t value)
{
  uint_fast64_t seen = atomic_load_explicit(target, memory_order_relaxed);
  while (value < seen && !atomic_compare_exchange_weak_explicit(
                             target, &seen, value, memory_order_relaxed, memory_order_relaxed))
    ;
}

void lqi_note_nonfinite(struct lqi_job *job, uint64_t first, uint64_t count)
{
  uint64_t found = 0, lowest = UINT64_MAX;
  int32_t dtype = job->store->dtype;
  const void *x = lqi_element(job->source, dtype, first);
  if (count == 0 || lqi_is_finite(job->kern->absmax[lqi_float_index(dtype)](x, (size_t)count)))
    return;
  for (uint64_t i = first; i < first + count; i++)
    if (!lqi_is_finite(lqi_load(job->source, dtype, i))) {
      lowest = found == 0 ? i : lowest;
      found++;
    }
  if (found == 0)
    return;
  atomic_fetch_add_explicit(&job->nonfinite, found, memory_order_relaxed);
  atomic_lower(&job->first_nonfinite, lowest);
}

void lqi_note_overflow(struct lqi_job *job, uint64_t first, float scale)
{
  if (!(scale < 65520.0f)) /* halfway to the power of two behind the largest half */
    atomic_lower(&job->first_overflow, first);
}

float lqi_finite_absmax(const struct lqi_job *job, uint64_t first, uint64_t count)
{
  float m = 0.0f;
  for (uint64_t i = first; i < first + count; i++) {
    float x = lqi_load(job->source, job->store->dtype, i);
    x = x < 0.0f ? -x : x;
    m = lqi_is_finite(x) && x > m ? x : m;
  }
  return m;
}

void lqi_load_chunk(const struct lqi_job *job, uint64_t first, size_t count, float limit, float *v)
{
  int32_t dtype = job->store->dtype;
  job->kern->widen[lqi_float_index(dtype)](lqi_element(job->source, dtype, first), count, v);
  if (job->params->nonfinite != LQ_NONFINITE_SATURATE)
    return;
  for (size_t i = 0; i < count; i++)
    if (!lqi_is_finite(v[i]))
      v[i] = v[i] != v[i] ? 0.0f : v[i] > 0.0f ? limit : -limit;
}
