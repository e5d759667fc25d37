// Convolutions with strides, dilation or groups, or with filters too large for a tile. A thread computes one result.
#pragma once

#include "chain.cuh"

// One axis of a convolution: taps of the filter, and how they lie on `INPUTS` values to give `RESULTS`.
template <int TAPS, int STRIDE, int PADDING, int DILATION, int INPUTS, int RESULTS>
struct Axis {
    static constexpr int taps = TAPS, results = RESULTS;

    // The value that a tap takes for a result; -1 outside of the image.
    static __device__ int input(int result, int tap)
    {
        const int i = result * STRIDE - PADDING + tap * DILATION;
        return 0 <= i && i < INPUTS ? i : -1;
    }
    // Whether a tap takes this value for any result, also for one outside of the results.
    static __device__ bool takes(int input, int tap) { return (input + PADDING - tap * DILATION) % STRIDE == 0; }
    // The result for which a tap takes this value; -1 outside of the results.
    static __device__ int result(int input, int tap)
    {
        const int i = input + PADDING - tap * DILATION;
        return 0 <= i && i / STRIDE < RESULTS ? i / STRIDE : -1;
    }
};

template <class IN>
__device__ inline float value(const Input &in, int images, int n, int h, int w, int c)
{
    if (h < 0 || w < 0) return 0.0f;
    float found[1];
    IN::read(typename IN::place{in, images, n, h, w, c}, found);
    return found[0];
}

// A convolution: for each output a chain over rows, columns and channels of the filter, then the bias. Groups have
// DEPTH channels each. `filter` is (run, row, column, channel of the group, output).
template <class IN, class ROWS, class COLUMNS, int DEPTH, int OUTPUTS>
__device__ inline void convolve_any(const Input &in, const float *filter, const float *bias, float *y, int images)
{
    constexpr int OF_A_GROUP = OUTPUTS / (IN::channels / DEPTH);
    const int i = thread(), o = i % OUTPUTS, x = i / OUTPUTS % COLUMNS::results;
    const int row = i / OUTPUTS / COLUMNS::results % ROWS::results, n = i / OUTPUTS / COLUMNS::results / ROWS::results;
    if (n >= images) return;
    filter += run() * ROWS::taps * COLUMNS::taps * DEPTH * OUTPUTS + o;
    float sum = 0.0f;
    for (int r = 0; r < ROWS::taps; r++)
        for (int s = 0; s < COLUMNS::taps; s++)
            for (int c = 0; c < DEPTH; c++, filter += OUTPUTS) {
                const int h = ROWS::input(row, r), w = COLUMNS::input(x, s);
                sum = __fmaf_rn(value<IN>(in, images, n, h, w, o / OF_A_GROUP * DEPTH + c), *filter, sum);
            }
    if (bias) sum += bias[run() * OUTPUTS + o];
    y[run() * images * ROWS::results * COLUMNS::results * OUTPUTS + i] = sum;
}

// The gradient of the input: for each value a chain over rows and columns of the filter, from the last ones on, and over
// the outputs of its group. OF is `Stored`, with the shape of the result.
template <class OF, class ROWS, class COLUMNS, int DEPTH, int HEIGHT, int WIDTH, int CHANNELS>
__device__ inline void input_gradient_any(const Input &in, const float *filter, float *dx, int images)
{
    constexpr int OUTPUTS = OF::channels, OF_A_GROUP = OUTPUTS / (CHANNELS / DEPTH);
    const int i = thread(), c = i % CHANNELS, w = i / CHANNELS % WIDTH, h = i / CHANNELS / WIDTH % HEIGHT;
    const int n = i / CHANNELS / WIDTH / HEIGHT, first = c / DEPTH * OF_A_GROUP;
    if (n >= images) return;
    filter += run() * ROWS::taps * COLUMNS::taps * DEPTH * OUTPUTS;
    float sum = 0.0f;
    for (int r = ROWS::taps - 1; r >= 0; r--)
        for (int s = COLUMNS::taps - 1; s >= 0; s--) {
            if (!ROWS::takes(h, r) || !COLUMNS::takes(w, s)) continue;
            const float *weights = filter + ((r * COLUMNS::taps + s) * DEPTH + c % DEPTH) * OUTPUTS;
            for (int o = first; o < first + OF_A_GROUP; o++)
                sum = __fmaf_rn(value<OF>(in, images, n, ROWS::result(h, r), COLUMNS::result(w, s), o), weights[o], sum);
        }
    dx[run() * images * HEIGHT * WIDTH * CHANNELS + i] = sum;
}

// The gradient of a filter for each image: for each weight a chain over the pixels of the result. `parts` is (run,
// image, row, column, channel of the group, output).
template <class IN, class ROWS, class COLUMNS, int DEPTH, int OUTPUTS>
__device__ inline void filter_gradient_any(const Input &in, const float *dy, float *parts, int images)
{
    constexpr int OF_A_GROUP = OUTPUTS / (IN::channels / DEPTH), WEIGHTS = ROWS::taps * COLUMNS::taps * DEPTH * OUTPUTS;
    const int i = thread(), o = i % OUTPUTS, c = i / OUTPUTS % DEPTH, tap = i % WEIGHTS / OUTPUTS / DEPTH;
    const int n = i / WEIGHTS, r = tap / COLUMNS::taps, s = tap % COLUMNS::taps;
    if (n >= images) return;
    const float *gradient = dy + (run() * images + n) * ROWS::results * COLUMNS::results * OUTPUTS + o;
    float sum = 0.0f;
    for (int row = 0; row < ROWS::results; row++)
        for (int x = 0; x < COLUMNS::results; x++, gradient += OUTPUTS) {
            const int h = ROWS::input(row, r), w = COLUMNS::input(x, s);
            sum = __fmaf_rn(value<IN>(in, images, n, h, w, o / OF_A_GROUP * DEPTH + c), *gradient, sum);
        }
    parts[run() * images * WEIGHTS + i] = sum;
}
