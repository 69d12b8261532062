/*
 * alloc_fail.c - fuzz target: the first two bytes say which allocation fails, and whether all after
 * it do. Whatever fails, it is memory that is missing, and nothing is left behind.
 */
#include "fuzz.h"

typedef struct heap {
  uint64_t calls, fails_at, live;
  int stays;
} heap;

static void *take(void *user, size_t bytes, size_t alignment)
{
  heap *h = user;
  void *p = NULL;
  h->calls++;
  if (h->calls == h->fails_at || (h->stays && h->calls > h->fails_at))
    return NULL;
  if (posix_memalign(&p, alignment < sizeof p ? sizeof p : alignment, bytes + (bytes == 0)) != 0)
    exit(2);
  h->live += bytes + 1;
  return p;
}

static void give(void *user, void *p, size_t bytes, size_t alignment)
{
  heap *h = user;
  (void)alignment;
  h->live -= bytes + 1;
  free(p);
}

static int fine(lq_status s)
{
  return CHECK(s == LQ_OK || s == LQ_E_MEMORY || s == LQ_E_UNSUPPORTED || s == LQ_E_NONFINITE,
               "status %d", s) &&
         s == LQ_OK;
}

static void planes_again(lq_config *config, const lq_tensor *t, int32_t layout)
{
  lq_plane p[12];
  lq_tensor *back = NULL;
  uint32_t n = lq_tensor_plane_count(t, layout);
  for (uint32_t i = 0; i < n && n <= 12; i++) {
    p[i].size = sizeof *p;
    fine(lq_tensor_plane(t, layout, i, &p[i]));
  }
  fine(lq_tensor_from_planes(config, layout, p, n, 0, NULL, 0, &back));
  lq_tensor_destroy(back);
}

static void use(lq_config *config, const lq_alloc *alloc, const lq_tensor *t)
{
  uint64_t n = lq_tensor_dim(t, 0), k = lq_tensor_dim(t, 1);
  lq_metrics metrics = {.size = sizeof metrics};
  float *x = test_alloc((size_t)(20 * (n + k)) * sizeof *x);
  fine(lq_matmul(t, 20, LQ_F32, x, k, NULL, LQ_F32, x + 20 * k, n, config));
  fine(lq_matmul_transposed(t, 2, LQ_F32, x + 20 * k, n, LQ_F32, x, k, config));
  fine(lq_compare(t, t, &metrics, config));
  planes_again(config, t, LQ_LAYOUT_NATIVE);
  for (int32_t layout = LQ_LAYOUT_BITSANDBYTES; layout <= LQ_LAYOUT_AWQ; layout++) {
    lq_tensor *c = NULL;
    if (fine(lq_tensor_convert(alloc, t, layout, &c)))
      planes_again(config, c, layout);
    lq_tensor_destroy(c);
  }
  free(x);
}

/* Makes the tensor with memory from `config` and does with it what can be done. */
static void work(lq_config *config, const lq_alloc *alloc, const lq_tensor *dense)
{
  lq_tensor *t = NULL, *clone = NULL;
  lq_quantizer *q = NULL;
  lq_config *copy = NULL;
  fine(lq_config_clone(config, &copy));
  lq_status s = lq_quantizer_create(config, &q);
  if ((s == LQ_E_ARGUMENT || fine(s)) && q && fine(lq_quantizer_run(q, dense, &t)))
    use(config, alloc, t);
  if (t && fine(lq_tensor_clone(alloc, t, &clone)))
    CHECK(same_planes(t, clone), "the clone");
  lq_tensor_destroy(clone);
  lq_tensor_destroy(t);
  lq_quantizer_destroy(q);
  lq_config_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fuzz_in in = {data, size};
  heap h = {.fails_at = fuzz_u8(&in), .stays = fuzz_u8(&in) & 1};
  lq_alloc alloc = {.size = sizeof alloc, .user = &h, .alloc = take, .release = give};
  lq_config *config = NULL;
  char options[128];
  fuzz_options(&in, options);
  lq_tensor *dense = fuzz_weight(&in, 224);
  if (dense && fine(lq_config_create(&alloc, &config))) {
    set_options(config, options);
    work(config, &alloc, dense);
  }
  lq_config_destroy(config);
  lq_tensor_destroy(dense);
  CHECK(h.live == 0, "%llu bytes are left", (unsigned long long)h.live);
  return fuzz_end();
}
