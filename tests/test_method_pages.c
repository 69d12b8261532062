/*
 * test_method_pages.c - docs/methods against the library: a page for each method and no other; the
 * keys of a page are those that the method takes, with the library's bounds and defaults; bits per
 * weight are what tensors have.
 *
 * Must not know: any method by name but gptq, whose pages of storages share its keys.
 */
#define _POSIX_C_SOURCE 200809L

#include "helpers.h"

#include <dirent.h>

enum { MOST_PAGE = 65536, CELLS = 4, CELL = 160, SIDE = 256 };

static char page[MOST_PAGE];

static int load(const char *name)
{
  char path[128];
  snprintf(path, sizeof path, "docs/methods/%s.md", name);
  FILE *f = fopen(path, "rb");
  if (!f)
    return 0;
  size_t n = fread(page, 1, sizeof page - 1, f);
  page[n] = 0;
  fclose(f);
  return n + 1 < sizeof page;
}

/* The cells of a table's row, without blanks around them and backquotes; their number. */
static int cells(const char *line, char cell[CELLS][CELL])
{
  int count = 0;
  while (*line == '|' && count < CELLS) {
    size_t n = strcspn(++line, "|\n"), at = 0;
    if (line[n] != '|')
      break;
    for (size_t i = 0; i < n && at + 1 < CELL; i++)
      if (line[i] != '`' && (line[i] != ' ' || at != 0))
        cell[count][at++] = line[i];
    while (at > 0 && cell[count][at - 1] == ' ')
      at--;
    cell[count++][at] = 0;
    line += n;
  }
  return count;
}

/* Row of the table under "## heading" whose first cell is `first`; 0 if there is none. */
static int find_row(const char *heading, const char *first, char cell[CELLS][CELL])
{
  char title[64];
  snprintf(title, sizeof title, "\n## %s\n", heading);
  const char *line = strstr(page, title);
  for (line = line ? line + 1 : NULL; line && (line = strchr(line, '\n')) != NULL;) {
    if (strncmp(++line, "## ", 3) == 0)
      return 0;
    if (cells(line, cell) >= 2 && strcmp(cell[0], first) == 0)
      return 1;
  }
  return 0;
}

/* ---- what the library takes ---- */

/* Is key=value accepted by a quantizer of the method, with whatever it needs beside? */
static int accepted(const char *method, const char *key, const char *value)
{
  static const char *const storages[] = {"affine", "nf4", "fp4"};
  for (int i = 0; i < 3; i++) {
    lq_config *config = new_config("");
    lq_quantizer *q = NULL;
    lq_config_set_text(config, "method", method);
    if (strcmp(method, "gptq") == 0)
      lq_config_set_text(config, "storage", storages[i]);
    if (strcmp(key, "nested_block_size") == 0)
      lq_config_set_text(config, "nested", "1");
    int ok =
        lq_config_set_text(config, key, value) == LQ_OK && lq_quantizer_create(config, &q) == LQ_OK;
    lq_quantizer_destroy(q);
    lq_config_destroy(config);
    if (ok)
      return 1;
  }
  return 0;
}

static void choice_text(const lq_key_info *k, int64_t value, char out[64])
{
  const char *p = k->choices;
  for (int64_t i = k->i64_min; i < value; i++)
    p = strchr(p, '|') + 1;
  snprintf(out, 64, "%.*s", (int)strcspn(p, "|"), p);
}

/* Does the method take any value but the default? Of numbers the greatest is tried, or of 0 and 1
 * the other one. */
static int taken(const char *method, const lq_key_info *k)
{
  char text[64];
  if (k->type == LQ_TYPE_CHOICE) {
    for (int64_t v = k->i64_min; v <= k->i64_max; v++) {
      choice_text(k, v, text);
      if (v != k->i64_default && accepted(method, k->name, text))
        return 1;
    }
    return 0;
  }
  if (k->type == LQ_TYPE_F64)
    snprintf(text, sizeof text, "%g", k->f64_max);
  else
    snprintf(text, sizeof text, "%lld",
             (long long)(k->i64_max == k->i64_default ? k->i64_min : k->i64_max));
  return accepted(method, k->name, text);
}

/* Values as a page writes them: "8 to 65536", or the choices that the method takes. */
static void values_text(const lq_key_info *k, const char *method, char out[CELL])
{
  out[0] = 0;
  if (k->type == LQ_TYPE_I64)
    snprintf(out, CELL, "%lld to %lld", (long long)k->i64_min, (long long)k->i64_max);
  else if (k->type == LQ_TYPE_F64)
    snprintf(out, CELL, "%g to %g", k->f64_min, k->f64_max);
  for (const char *p = k->choices; p && *p; p += strcspn(p, "|"), p += *p == '|') {
    char one[64];
    snprintf(one, sizeof one, "%.*s", (int)strcspn(p, "|"), p);
    if (!method || accepted(method, k->name, one)) {
      size_t n = strlen(out);
      snprintf(out + n, CELL - n, "%s%s", n ? ", " : "", one);
    }
  }
}

static void default_text(const lq_key_info *k, const lq_method_info *m, char out[CELL])
{
  if (k->type == LQ_TYPE_F64) {
    snprintf(out, CELL, "%g", k->f64_default);
  } else if (k->type == LQ_TYPE_CHOICE) {
    choice_text(k, k->i64_default, out);
  } else {
    int64_t v = k->key == LQ_KEY_BLOCK_SIZE && m ? m->default_block_size : k->i64_default;
    snprintf(out, CELL, "%lld", (long long)v);
  }
}

/* "affine: bits of a code" belongs to affine: the word, or "". */
static void owner_of(const lq_key_info *k, char out[32])
{
  size_t n = strcspn(k->text, ":");
  out[0] = 0;
  if (k->text[n] == ':' && n < 32 && k->text[0] >= 'a' && strcspn(k->text, " ;,") > n)
    snprintf(out, 32, "%.*s", (int)n, k->text);
}

/* ---- the pages ---- */

static int is_common(int32_t key)
{
  return key == LQ_KEY_METHOD || key == LQ_KEY_NONFINITE || key == LQ_KEY_COMPUTE ||
         key == LQ_KEY_THREADS || key == LQ_KEY_ZERO_BORROW;
}

static void check_row(const lq_key_info *k, const lq_method_info *m, char cell[CELLS][CELL])
{
  char want[CELL];
  values_text(k, m ? m->name : NULL, want);
  size_t n = strlen(want);
  CHECK(strncmp(cell[1], want, n) == 0 && (cell[1][n] == 0 || cell[1][n] == ';'),
        "%s: values are \"%s\", not \"%s\"", k->name, want, cell[1]);
  default_text(k, m, want);
  CHECK(strcmp(cell[2], want) == 0, "%s: the default is \"%s\", not \"%s\"", k->name, want,
        cell[2]);
}

static void check_keys(const lq_method_info *m)
{
  lq_key_info k = {.size = sizeof k};
  for (uint32_t i = 0; lq_config_key_info(i, &k) == LQ_OK; i++) {
    char cell[CELLS][CELL], owner[32];
    if (is_common(k.key))
      continue;
    owner_of(&k, owner);
    int there = find_row("Keys", k.name, cell), takes = taken(m->name, &k);
    int own = owner[0] == 0 || strcmp(owner, m->name) == 0 ||
              ((m->flags & LQ_METHOD_CALIBRATED) != 0 && strcmp(owner, "affine") == 0);
    CHECK(there == (takes && own), "%s: %s on the page, %s by the method", k.name,
          there ? "is" : "is not", takes ? "taken" : "refused");
    if (there)
      check_row(&k, m, cell);
  }
}

/* Every block type that decodes, in some row by its name. */
static void check_types(void)
{
  for (int32_t type = 0; type < 64; type++) {
    lq_ggml_type info = {.size = sizeof info};
    if (lq_ggml_type_info(type, &info) != LQ_OK || !info.decodes || info.dtype != 0)
      continue;
    const char *line = strstr(page, "\n## Bits per weight\n");
    int rows = 0;
    while (line && (line = strchr(line + 1, '\n')) != NULL && strncmp(line + 1, "## ", 3) != 0) {
      char cell[CELLS][CELL], got[32];
      if (cells(line + 1, cell) < 2)
        continue;
      const char *at = strstr(cell[0], info.name);
      size_t n = strlen(info.name);
      if (at == NULL || (at[n] != 0 && at[n] != ','))
        continue;
      snprintf(got, sizeof got, "%.4g", 8.0 * info.bytes / info.elements);
      CHECK(strcmp(got, cell[1]) == 0, "%s: %s bits per weight, the page says %s", info.name, got,
            cell[1]);
      rows++;
    }
    CHECK(rows == 1, "%s: %d rows of bits per weight", info.name, rows);
  }
}

static void check_bits(const lq_method_info *m)
{
  if (m->flags & LQ_METHOD_DECODES) {
    check_types();
    return;
  }
  static const uint64_t dims[2] = {SIDE, SIDE};
  const char *line = strstr(page, "\n## Bits per weight\n");
  int rows = 0;
  lq_tensor *dense = NULL;
  CHECK(line != NULL, "no bits per weight");
  CHECK(lq_tensor_create(NULL, LQ_F32, 2, dims, &dense) == LQ_OK, "no memory");
  while (line && (line = strchr(line + 1, '\n')) != NULL && strncmp(line + 1, "## ", 3) != 0) {
    char cell[CELLS][CELL], got[32];
    if (cells(line + 1, cell) < 2 || strncmp(cell[0], "method=", 7) != 0)
      continue;
    lq_config *config = new_config(cell[0]);
    lq_quantizer *q = NULL;
    lq_tensor *small = NULL;
    lq_status s = lq_quantizer_create(config, &q);
    if (s == LQ_OK && (m->flags & LQ_METHOD_CALIBRATED))
      s = lq_quantizer_observe(q, 1, SIDE, LQ_F32, lq_tensor_data(dense), SIDE);
    if (s == LQ_OK)
      s = lq_quantizer_run(q, dense, &small);
    CHECK(s == LQ_OK, "%s: %d", cell[0], s);
    snprintf(got, sizeof got, "%.4g", small ? lq_tensor_bits_per_weight(small) : 0.0);
    CHECK(strcmp(got, cell[1]) == 0, "%s: %s bits per weight, the page says %s", cell[0], got,
          cell[1]);
    rows++;
    lq_tensor_destroy(small);
    lq_quantizer_destroy(q);
    lq_config_destroy(config);
  }
  CHECK(rows > 0, "no row of bits per weight");
  lq_tensor_destroy(dense);
}

static void check_page(const lq_method_info *m)
{
  static const char *const parts[] = {"Planes", "Keys",     "Bits per weight", "By hand",
                                      "Error",  "Products", "References"};
  test_in("docs/methods/%s.md", m->name);
  if (!CHECK(load(m->name), "there is no such page"))
    return;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    char heading[64];
    snprintf(heading, sizeof heading, "\n## %s\n", parts[i]);
    CHECK(strstr(page, heading) != NULL, "no part \"%s\"", parts[i]);
  }
  check_keys(m);
  check_bits(m);
}

/* The page of all methods has the common keys and a link to each method. */
static void check_overview(void)
{
  lq_key_info k = {.size = sizeof k};
  test_in("docs/methods/README.md");
  if (!CHECK(load("README"), "there is no such page"))
    return;
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    lq_method_info m = {.size = sizeof m};
    char link[64];
    lq_method_info_at(i, &m);
    snprintf(link, sizeof link, "[%s](%s.md)", m.name, m.name);
    CHECK(strstr(page, link) != NULL, "no link to %s", m.name);
  }
  for (uint32_t i = 0; lq_config_key_info(i, &k) == LQ_OK; i++) {
    char cell[CELLS][CELL];
    int there = find_row("Keys of all methods", k.name, cell);
    CHECK(there == is_common(k.key), "%s %s", k.name, there ? "is not common" : "is missing");
    if (there)
      check_row(&k, NULL, cell);
  }
}

int main(void)
{
  for (uint32_t i = 0; i < lq_method_count(); i++) {
    lq_method_info m = {.size = sizeof m};
    CHECK(lq_method_info_at(i, &m) == LQ_OK, "method %u", i);
    check_page(&m);
  }
  check_overview();
  test_in("docs/methods");
  DIR *d = opendir("docs/methods");
  CHECK(d != NULL, "no such folder");
  for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
    char name[256];
    snprintf(name, sizeof name, "%s", e->d_name);
    char *dot = strrchr(name, '.');
    if (!dot || strcmp(dot, ".md") != 0 || strcmp(name, "README.md") == 0)
      continue;
    *dot = 0;
    CHECK(lq_method_from_name(name) != 0, "%s is a page of no method", e->d_name);
  }
  if (d)
    closedir(d);
  return test_end();
}
