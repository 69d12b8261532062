/*
 * raii.cc - libquant in C++17: handles that end themselves, errors as exceptions.
 *
 * The header stays plain C; what C++ adds is these lines, to be copied and cut to taste. A wrapper
 * owns one handle, moves and does not copy; a failed call throws lq::error, which carries the
 * status and the library's text.
 *
 *     c++ -std=c++17 raii.cc $(pkg-config --cflags --libs libquant) -o raii
 */
#include <libquant.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace lq
{

class error : public std::runtime_error
{
public:
  error(lq_status status, const std::string &text)
      : std::runtime_error(text.empty() ? lq_status_string(status)
                                        : text + " (" + lq_status_string(status) + ")"),
        status_(status)
  {
  }

  lq_status status() const noexcept
  {
    return status_;
  }

private:
  lq_status status_;
};

inline void check(lq_status status, const char *text = "")
{
  if (status != LQ_OK)
    throw error(status, text);
}

/* unique_ptr does all that owning means; the three deleters are the destroy functions. */
template <auto destroy> struct destroyer {
  template <class T> void operator()(T *handle) const noexcept
  {
    destroy(handle);
  }
};

template <class T, auto destroy> using handle = std::unique_ptr<T, destroyer<destroy>>;

class config
{
public:
  config()
  {
    lq_config *c = nullptr;
    check(lq_config_create(nullptr, &c));
    handle_.reset(c);
  }

  config &set(const char *name, const std::string &value)
  {
    check(lq_config_set_text(get(), name, value.c_str()), lq_config_error_text(get()));
    return *this;
  }

  config &set(int32_t key, int64_t value)
  {
    check(lq_config_set_i64(get(), key, value), lq_config_error_text(get()));
    return *this;
  }

  lq_config *get() const noexcept
  {
    return handle_.get();
  }

private:
  handle<lq_config, lq_config_destroy> handle_;
};

class tensor
{
public:
  explicit tensor(lq_tensor *owned) noexcept : handle_(owned)
  {
  }

  /* Over memory of the caller, which stays until the tensor has gone. */
  tensor(const std::vector<float> &values, const std::vector<uint64_t> &shape)
  {
    lq_tensor *t = nullptr;
    check(lq_tensor_wrap(nullptr, LQ_F32, static_cast<uint32_t>(shape.size()), shape.data(),
                         values.data(), values.size() * sizeof(float), &t));
    handle_.reset(t);
  }

  uint64_t rows() const noexcept
  {
    return lq_tensor_dim(get(), 0);
  }
  uint64_t columns() const noexcept
  {
    return lq_tensor_dim(get(), 1);
  }
  double bits_per_weight() const noexcept
  {
    return lq_tensor_bits_per_weight(get());
  }

  std::vector<lq_plane> planes(int32_t layout) const
  {
    std::vector<lq_plane> all(lq_tensor_plane_count(get(), layout));
    for (uint32_t i = 0; i < all.size(); i++) {
      all[i].size = sizeof(lq_plane);
      check(lq_tensor_plane(get(), layout, i, &all[i]));
    }
    return all;
  }

  std::vector<float> values() const
  {
    std::vector<float> out(rows() * columns());
    check(lq_dequantize(get(), LQ_F32, out.data(), out.size() * sizeof(float), nullptr));
    return out;
  }

  std::vector<float> operator*(const std::vector<float> &x) const
  {
    std::vector<float> y(rows());
    if (x.size() != columns())
      throw error(LQ_E_SHAPE, "a product of a matrix and a vector of another size");
    check(lq_matmul(get(), 1, LQ_F32, x.data(), columns(), nullptr, LQ_F32, y.data(), rows(),
                    nullptr));
    return y;
  }

  const lq_tensor *get() const noexcept
  {
    return handle_.get();
  }

private:
  handle<lq_tensor, lq_tensor_destroy> handle_;
};

class quantizer
{
public:
  explicit quantizer(const config &c)
  {
    lq_quantizer *q = nullptr;
    check(lq_quantizer_create(c.get(), &q), lq_config_error_text(c.get()));
    handle_.reset(q);
  }

  tensor operator()(const tensor &weight)
  {
    lq_tensor *t = nullptr;
    check(lq_quantizer_run(handle_.get(), weight.get(), &t),
          lq_quantizer_error_text(handle_.get()));
    return tensor(t);
  }

private:
  handle<lq_quantizer, lq_quantizer_destroy> handle_;
};

/* Owned like a unique_ptr, and no larger than one. */
static_assert(std::is_nothrow_move_constructible_v<tensor> &&
              !std::is_copy_constructible_v<tensor>);
static_assert(std::is_nothrow_move_assignable_v<quantizer> && !std::is_copy_assignable_v<config>);
static_assert(sizeof(tensor) == sizeof(void *));

} // namespace lq

/* Calls `f`, which has to throw an error of that status. */
template <class F> static bool throws(lq_status status, F f)
{
  try {
    f();
  } catch (const lq::error &e) {
    std::printf("caught: %s\n", e.what());
    return e.status() == status;
  }
  return false;
}

static bool run()
{
  const uint64_t rows = 64, columns = 256;
  std::vector<float> w(rows * columns), x(columns);
  for (size_t i = 0; i < w.size(); i++)
    w[i] = 0.01f * static_cast<float>(static_cast<int>(i % 17) - 8);
  for (size_t i = 0; i < x.size(); i++)
    x[i] = std::cos(static_cast<float>(i));

  lq::config config;
  config.set("method", "nf4").set(LQ_KEY_NESTED, 1);
  lq::quantizer quantize(config);
  lq::tensor small = quantize(lq::tensor(w, {rows, columns}));
  std::printf("%.3f bits per weight in", small.bits_per_weight());
  for (const lq_plane &p : small.planes(LQ_LAYOUT_BITSANDBYTES))
    std::printf(" %s", p.name);
  std::printf("\n");

  lq::tensor moved = std::move(small); /* `small` holds nothing from here on */
  const std::vector<float> y = moved * x, back = moved.values();
  double sum = 0;
  for (size_t k = 0; k < columns; k++)
    sum += static_cast<double>(back[5 * columns + k]) * static_cast<double>(x[k]);
  std::printf("row 5 times x: %f, by hand %f\n", static_cast<double>(y[5]), sum);

  w[3 * columns + 7] = std::nanf("");
  return std::abs(static_cast<double>(y[5]) - sum) < 1e-5 &&
         throws(LQ_E_NONFINITE,
                [&] {
                  quantize(lq::tensor(w, {rows, columns}));
                }) &&
         throws(LQ_E_ARGUMENT, [&] { config.set("block_size", "many"); }) &&
         throws(LQ_E_SHAPE,
                [&] {
                  lq::tensor(w, {rows, columns + 1});
                }) &&
         throws(LQ_E_SHAPE, [&] { (void)(moved * std::vector<float>(3)); });
}

int main()
{
  try {
    return run() ? 0 : 1;
  } catch (const std::exception &e) {
    std::fprintf(stderr, "failed: %s\n", e.what());
    return 1;
  }
}
