// Pools and changes of shape. Their gradients are not stored: who needs one asks for it, a value at a time.
#pragma once

#include "chain.cuh"

// A thread takes a value of the result, of ROWS x COLUMNS x CHANNELS of an image.
template <int ROWS, int COLUMNS, int CHANNELS>
__device__ inline bool result(int images, int &n, int &i, int &j, int &c)
{
    if (thread() >= images * ROWS * COLUMNS * CHANNELS) return false;
    c = thread() % CHANNELS, j = thread() / CHANNELS % COLUMNS, i = thread() / CHANNELS / COLUMNS % ROWS;
    n = thread() / CHANNELS / COLUMNS / ROWS;
    return true;
}

// Windows of a max-pool along one axis.
template <int SIZE, int STRIDE, int PADDING, int DILATION, int COUNT>
struct Windows {
    static constexpr int size = SIZE, stride = STRIDE, padding = PADDING, dilation = DILATION, count = COUNT;
};

// The largest value of each window, and which of the window it is.
template <class IN, class R, class C>
__device__ inline void max_pool(const Input &in, float *y, unsigned char *chosen, int images)
{
    int n, i, j, c, place = 0;
    if (!result<R::count, C::count, IN::channels>(images, n, i, j, c)) return;
    float best = 0;
    bool is_first = true;
#pragma unroll
    for (int r = 0; r < R::size; r++)
#pragma unroll
        for (int s = 0; s < C::size; s++) {
            const int h = i * R::stride - R::padding + r * R::dilation, w = j * C::stride - C::padding + s * C::dilation;
            if (h < 0 || h >= IN::height || w < 0 || w >= IN::width) continue;
            float value[1];
            IN::read(typename IN::place{in, images, n, h, w, c}, value);
            if (is_first || value[0] > best || value[0] != value[0]) best = value[0], place = r * C::size + s;
            is_first = false;
        }
    const size_t at = run() * images * R::count * C::count * IN::channels + thread();
    y[at] = best;
    if (chosen) chosen[at] = place;
}

template <class R, class C>
struct OfMaxPool {
    const float *dy;
    const unsigned char *chosen;
    template <class IN> __device__ float at(const typename IN::place &p) const
    {
        float sum = 0;
#pragma unroll
        for (int r = R::size - 1; r >= 0; r--) {
            const int y = p.h + R::padding - r * R::dilation;
            if (y < 0 || y % R::stride || y / R::stride >= R::count) continue;
#pragma unroll
            for (int s = C::size - 1; s >= 0; s--) {
                const int x = p.w + C::padding - s * C::dilation;
                if (x < 0 || x % C::stride || x / C::stride >= C::count) continue;
                const size_t line = ((run() * p.images + p.n) * R::count + y / R::stride) * C::count + x / C::stride;
                if (chosen[line * IN::channels + p.c] == r * C::size + s) sum += dy[line * IN::channels + p.c];
            }
        }
        return sum;
    }
};

// Windows of an average pool: W::row(i) and W::column(j) give where one begins, one further where it ends.
template <class IN, class W>
__device__ inline void average_pool(const Input &in, float *y, int images)
{
    int n, i, j, c;
    if (!result<W::rows, W::columns, IN::channels>(images, n, i, j, c)) return;
    float sum = 0;
    for (int h = W::row(2 * i); h < W::row(2 * i + 1); h++)
        for (int w = W::column(2 * j); w < W::column(2 * j + 1); w++) {
            float value[1];
            IN::read(typename IN::place{in, images, n, h, w, c}, value);
            sum += value[0];
        }
    y[run() * images * W::rows * W::columns * IN::channels + thread()] = sum / W::divisor(i, j);
}

template <class W>
struct OfAveragePool {
    const float *dy;
    template <class IN> __device__ float at(const typename IN::place &p) const
    {
        float sum = 0;
        for (int i = 0; i < W::rows; i++) {
            if (p.h < W::row(2 * i) || p.h >= W::row(2 * i + 1)) continue;
            for (int j = 0; j < W::columns; j++) {
                if (p.w < W::column(2 * j) || p.w >= W::column(2 * j + 1)) continue;
                const size_t line = ((run() * p.images + p.n) * W::rows + i) * W::columns + j;
                sum += dy[line * IN::channels + p.c] / W::divisor(i, j);
            }
        }
        return sum;
    }
};

// The same values in another shape, in PyTorch's logical order: (channel, row, column).
template <class IN, int ROWS, int COLUMNS>
__device__ inline void reshape(const Input &in, float *y, int images)
{
    constexpr int CHANNELS = IN::height * IN::width * IN::channels / (ROWS * COLUMNS);
    int n, i, j, c;
    if (!result<ROWS, COLUMNS, CHANNELS>(images, n, i, j, c)) return;
    const int number = (c * ROWS + i) * COLUMNS + j;
    const int h = number / IN::width % IN::height, w = number % IN::width;
    float value[1];
    IN::read(typename IN::place{in, images, n, h, w, number / (IN::height * IN::width)}, value);
    y[run() * images * ROWS * COLUMNS * CHANNELS + thread()] = value[0];
}

template <int ROWS, int COLUMNS>
struct OfReshape {
    const float *dy;
    template <class IN> __device__ float at(const typename IN::place &p) const
    {
        constexpr int CHANNELS = IN::height * IN::width * IN::channels / (ROWS * COLUMNS);
        const int number = (p.c * IN::height + p.h) * IN::width + p.w;
        const int c = number / (ROWS * COLUMNS), pixel = number % (ROWS * COLUMNS);
        return dy[((run() * p.images + p.n) * ROWS * COLUMNS + pixel) * CHANNELS + c];
    }
};
