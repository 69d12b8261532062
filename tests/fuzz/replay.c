/*
 * replay.c - runs a fuzz target without a fuzzer: on the files and folders given as arguments, and
 * for an argument "+N" on N inputs from a generator, the same on every machine.
 *
 * Owns: the walk, the count, which is printed last. Must not know: the target. The name of each
 * input is printed first, so that the last one is what a crash was on.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static uint64_t inputs;

static void run(const char *name, const uint8_t *data, size_t size)
{
  printf("%s\n", name);
  fflush(stdout);
  LLVMFuzzerTestOneInput(data, size);
  inputs++;
}

static void run_generated(int count)
{
  enum { MOST = 256 };
  uint64_t state = 1;
  for (int i = 0; i < count; i++) {
    char name[32];
    size_t size = (size_t)rng_below(&state, MOST);
    uint8_t *data = test_alloc(size);
    for (size_t k = 0; k < size; k++)
      data[k] = (uint8_t)rng_u64(&state);
    snprintf(name, sizeof name, "generated %d", i);
    run(name, data, size);
    free(data);
  }
}

static void run_file(const char *path)
{
  FILE *f = fopen(path, "rb");
  struct stat st;
  if (f == NULL || fstat(fileno(f), &st) != 0) {
    printf("cannot read %s\n", path);
    exit(2);
  }
  size_t size = (size_t)st.st_size;
  uint8_t *data = malloc(size + (size == 0)); /* not a byte more: reading past it is found */
  if (data == NULL || fread(data, 1, size, f) != size) {
    printf("cannot read %s\n", path);
    exit(2);
  }
  fclose(f);
  run(path, data, size);
  free(data);
}

static void run_path(const char *path)
{
  struct dirent **names = NULL;
  struct stat st;
  if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
    run_file(path);
    return;
  }
  int count = scandir(path, &names, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    char inner[2048];
    snprintf(inner, sizeof inner, "%.1500s/%.400s", path, names[i]->d_name);
    if (names[i]->d_name[0] != '.')
      run_path(inner);
    free(names[i]);
  }
  free(names);
}

int main(int argc, char **argv)
{
  for (int i = 1; i < argc; i++)
    if (argv[i][0] == '+')
      run_generated(atoi(argv[i] + 1));
    else
      run_path(argv[i]);
  printf("%llu inputs\n", (unsigned long long)inputs);
  return inputs == 0;
}
