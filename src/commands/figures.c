/* figures.c - see figures.h. Numbers with 17 digits are read back as they were, infinity too. */
#include "figures.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool figures_reserve(figures *f, size_t capacity, fail *why)
{
  /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a number of tensors is no SIZE_MAX */
  f->pairs = calloc(capacity + 1, sizeof *f->pairs);
  f->texts = calloc(capacity + 1, sizeof *f->texts);
  f->capacity = capacity;
  return (f->pairs && f->texts) || fail_memory(why, "figures");
}

void figures_add(figures *f, const quantize_result *r)
{
  const lq_report *p = &r->report;
  const lq_metrics *m = &r->metrics;
  char *text = f->texts[f->count];

  if (f->count == f->capacity)
    return;
  snprintf(text, FIGURES_TEXT,
           "%d %.17g %.17g %.17g %.17g %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
           " %.17g %.17g %.17g %.17g %" PRIu64 " %" PRIu64 " %" PRIu64 " %.17g %.17g",
           r->kept, p->error, p->error_nearest, p->energy, p->damping, p->dead_columns,
           p->rows_observed, p->nonfinite, p->outlier_columns, m->relative_error, m->sqnr_db,
           m->cosine, m->max_error, m->max_row, m->max_column, r->bytes, r->bits_per_weight,
           r->seconds);
  f->pairs[f->count++] = (job_pair){r->w->name, text};
}

void figures_free(figures *f)
{
  free(f->pairs);
  free(f->texts);
  *f = (figures){0};
}

/* First result of a shard not before `shard`; results are in the order of the shards. */
static size_t first_of(const quantize_job *job, size_t shard)
{
  size_t low = 0, high = job->count;

  while (low < high) {
    size_t middle = low + (high - low) / 2;

    if (job->results[middle].w->base->shard < shard)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool figures_of_shard(figures *f, const quantize_job *job, size_t shard, fail *why)
{
  size_t first = first_of(job, shard), end = first_of(job, shard + 1);

  if (!figures_reserve(f, end - first, why))
    return false;
  for (size_t i = first; i < end; i++)
    figures_add(f, &job->results[i]);
  return true;
}

/* The next of numbers with spaces between them. */
static bool real(const char **at, double *out)
{
  char *end;

  *out = strtod(*at, &end);
  if (end == *at)
    return false;
  *at = end;
  return true;
}

static bool count(const char **at, uint64_t *out)
{
  char *end;

  errno = 0;
  *out = strtoull(*at, &end, 10);
  if (end == *at || errno != 0)
    return false;
  *at = end;
  return true;
}

bool figures_read(const job_store *from, const char *part, quantize_result *r, fail *why)
{
  const char *text = job_note(from, part, r->w->name);
  lq_report *p = &r->report;
  lq_metrics *m = &r->metrics;
  uint64_t kept = 0;

  p->size = sizeof *p;
  m->size = sizeof *m;
  if (text && count(&text, &kept) && real(&text, &p->error) && real(&text, &p->error_nearest) &&
      real(&text, &p->energy) && real(&text, &p->damping) && count(&text, &p->dead_columns) &&
      count(&text, &p->rows_observed) && count(&text, &p->nonfinite) &&
      count(&text, &p->outlier_columns) && real(&text, &m->relative_error) &&
      real(&text, &m->sqnr_db) && real(&text, &m->cosine) && real(&text, &m->max_error) &&
      count(&text, &m->max_row) && count(&text, &m->max_column) && count(&text, &r->bytes) &&
      real(&text, &r->bits_per_weight) && real(&text, &r->seconds)) {
    r->kept = kept != 0;
    return true;
  }
  return fail_set(why, FAIL_FORMAT, job_folder(from), "%s: no figures of %s", part, r->w->name);
}
