/*
 * test_arithmetic.c - proves that sizes cannot wrap: the checked helpers at their edges, against
 * arithmetic of 128 bits where the compiler has it, and what is built on them.
 */
#include "harness.h"

#include "../lib/core/mem.h"
#include "../lib/core/par.h"
#include "../lib/core/shape.h"

static const uint64_t edges[] = {
    0,
    1,
    2,
    3,
    7,
    8,
    63,
    64,
    UINT32_MAX - 1,
    UINT32_MAX,
    (uint64_t)UINT32_MAX + 1,
    (uint64_t)UINT32_MAX + 2,
    UINT64_MAX / 3,
    UINT64_MAX / 3 + 1,
    INT64_MAX,
    (uint64_t)INT64_MAX + 1,
    UINT64_MAX - 64,
    UINT64_MAX - 1,
    UINT64_MAX,
};

enum { EDGES = sizeof edges / sizeof *edges };

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide;
#endif

static void check_pair(uint64_t a, uint64_t b)
{
  uint64_t sum = 42, product = 42;
  int add = lqi_add_overflows(a, b, &sum), mul = lqi_mul_overflows(a, b, &product);
  test_in("%llu, %llu", (unsigned long long)a, (unsigned long long)b);
  CHECK(add ? sum == 42 : sum == a + b && sum >= a, "sum %llu", (unsigned long long)sum);
  CHECK(mul ? product == 42 : product == a * b && (a == 0 || product / a == b), "product %llu",
        (unsigned long long)product);
#ifdef __SIZEOF_INT128__
  CHECK(add == ((wide)a + b > UINT64_MAX) && mul == ((wide)a * b > UINT64_MAX), "%d, %d", add, mul);
  if (b != 0)
    CHECK(lqi_ceil_div(a, b) == (uint64_t)(((wide)a + b - 1) / b), "ceil_div");
#endif
  CHECK(lqi_min_u64(a, b) == (a < b ? a : b), "min");
  if (b != 0) {
    uint64_t q = lqi_ceil_div(a, b);
    CHECK(q <= a && (q == 0) == (a == 0), "ceil_div %llu", (unsigned long long)q);
  }
}

/* No product of dimensions reaches 2^59, and a zero hides none that would. */
static void test_shapes(void)
{
  struct lqi_shape shape;
  test_in("shapes");
  for (int i = 0; i < EDGES; i++)
    for (int j = 0; j < EDGES; j++)
      for (uint32_t zero = 0; zero < 4; zero++) {
        uint64_t dims[3] = {edges[i], edges[j], 1}, product, with_zero[4];
        uint32_t n = 0;
        for (uint32_t k = 0; k < 4; k++)
          with_zero[k] = k == zero ? 0 : dims[n++];
        int fits = !lqi_mul_overflows(edges[i] ? edges[i] : 1, edges[j] ? edges[j] : 1, &product) &&
                   product < (uint64_t)1 << 59;
        CHECK(lqi_shape_set(&shape, 3, dims) == (fits ? LQ_OK : LQ_E_OVERFLOW), "%d, %d", i, j);
        CHECK(!fits || shape.count == edges[i] * edges[j], "count");
        CHECK(lqi_shape_set(&shape, 4, with_zero) == (fits ? LQ_OK : LQ_E_OVERFLOW),
              "%d, %d with a zero at %u", i, j, zero);
      }
  uint64_t ones[LQ_MAX_DIMS + 1];
  for (int i = 0; i <= LQ_MAX_DIMS; i++)
    ones[i] = 1;
  CHECK(lqi_shape_set(&shape, LQ_MAX_DIMS, ones) == LQ_OK, "most dimensions");
  CHECK(lqi_shape_set(&shape, LQ_MAX_DIMS + 1, ones) == LQ_E_ARGUMENT, "one more");
  CHECK(lqi_shape_set(&shape, UINT32_MAX, ones) == LQ_E_ARGUMENT, "many more");
  CHECK(lqi_shape_set(&shape, 1, NULL) == LQ_E_ARGUMENT, "no dimensions");
}

/* The number of tasks fits 32 bits, whatever the work, and they cover it. */
static void test_tasks(void)
{
  test_in("tasks");
  for (int i = 0; i < EDGES; i++)
    for (uint64_t size = 1; size <= (uint64_t)1 << 40; size *= 1024) {
      uint64_t per_task = size;
      uint32_t tasks = lqi_task_count(edges[i], &per_task);
      CHECK(per_task >= size && tasks <= UINT32_MAX / 2 + 1u, "%u tasks", tasks);
      CHECK(lqi_ceil_div(edges[i], per_task) == tasks, "they do not cover the work");
    }
}

static void *any(void *user, size_t bytes, size_t alignment)
{
  (void)alignment;
  *(size_t *)user = bytes;
  return NULL;
}

static void none(void *user, void *p, size_t bytes, size_t alignment)
{
  (void)user, (void)p, (void)bytes, (void)alignment;
}

/* What size_t cannot hold never reaches an allocator; nothing is asked as one byte. */
static void test_memory(void)
{
  size_t asked = 0;
  const lq_alloc hook = {sizeof hook, 0, &asked, any, none};
  struct lqi_mem mem;
  test_in("memory");
  CHECK(lqi_mem_init(&mem, &hook) == LQ_OK, "init");
  CHECK(lqi_alloc(&mem, UINT64_MAX) == NULL && asked == 0, "all of memory was asked for");
  CHECK(lqi_alloc(&mem, (uint64_t)SIZE_MAX / 2 + 1) == NULL && asked == 0, "half of it");
  CHECK(lqi_alloc(&mem, 0) == NULL && asked == 1, "nothing");
}

int main(void)
{
  for (int i = 0; i < EDGES; i++)
    for (int j = 0; j < EDGES; j++)
      check_pair(edges[i], edges[j]);
  test_shapes();
  test_tasks();
  test_memory();
  return test_end();
}
