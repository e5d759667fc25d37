// Convolutions with a stride of 1, and the gradients of their inputs, which are such convolutions too.
#pragma once

#include "chain.cuh"

// What a block takes: IMAGES images, BAND rows of the result of each; a thread computes PIXELS times OUTPUTS of it.
template <int IMAGES, int BAND, int PIXELS, int OUTPUTS>
struct Tile {
    static constexpr int images = IMAGES, band = BAND, pixels = PIXELS, outputs = OUTPUTS;
};

// A filter: rows and columns, of padding too, and channels of the result.
template <int ROWS, int COLUMNS, int ROW_PADDING, int COLUMN_PADDING, int OUTPUTS>
struct Filter {
    static constexpr int rows = ROWS, columns = COLUMNS, row_padding = ROW_PADDING, column_padding = COLUMN_PADDING;
    static constexpr int outputs = OUTPUTS;
};

// How far two pixels of a tile are apart. With a multiple of 4 that is no multiple of 8, eight threads that read four
// channels of neighbouring pixels meet all 32 banks.
__host__ __device__ constexpr int pitch(int channels)
{
    return channels < 3 ? channels : ((channels + 3) / 4 | 1) * 4;
}

// Copy `height` rows and `width` columns of some images from `image`, `row` and `column` on into a tile, with all
// channels. What is outside of the images is +0.
template <class IN, int IMAGES, int HEIGHT, int WIDTH, int PITCH>
__device__ inline void load(const Input &in, int images, int image, int row, int column, float *tile)
{
    constexpr int COUNT = aligned(IN::channels), PARTS = IN::channels / COUNT;
    for (int i = threadIdx.x; i < IMAGES * HEIGHT * WIDTH * PARTS; i += blockDim.x) {
        const int part = i % PARTS, pixel = i / PARTS;
        const int n = image + pixel / (HEIGHT * WIDTH), h = row + pixel / WIDTH % HEIGHT, w = column + pixel % WIDTH;
        float values[COUNT] = {};
        if (n < images && 0 <= h && h < IN::height && 0 <= w && w < IN::width)
            IN::read(typename IN::place{in, images, n, h, w, part * COUNT}, values);
        put<COUNT, aligned(PITCH)>(values, tile + pixel * PITCH + part * COUNT);
    }
}

// Take COUNT channels of PIXELS pixels into the sums.
template <int COUNT, int PIXELS, int OUTPUTS, int PITCH, int FILLED>
__device__ inline void take(
    const float *tile, const int (&places)[PIXELS], const float *weights, float (&sums)[PIXELS][OUTPUTS])
{
    float values[PIXELS][COUNT];
#pragma unroll
    for (int k = 0; k < PIXELS; k++) fetch<COUNT, aligned(PITCH)>(tile + places[k], values[k]);
#pragma unroll
    for (int c = 0; c < COUNT; c++) {
        float weight[OUTPUTS];
        fetch<OUTPUTS, aligned(FILLED)>(weights + c * FILLED, weight);
#pragma unroll
        for (int k = 0; k < PIXELS; k++)
#pragma unroll
            for (int j = 0; j < OUTPUTS; j++) sums[k][j] = __fmaf_rn(values[k][c], weight[j], sums[k][j]);
    }
}

// A convolution: for each output a chain over rows, columns and channels of the filter, then the bias. blockIdx.x is
// the band, blockIdx.y the group of images.
template <class IN, class F, class T>
__device__ inline void convolve(const Input &in, const float *filter, const float *bias, float *y, int images)
{
    constexpr int INPUTS = IN::channels, TAPS = F::rows * F::columns, PITCH = pitch(INPUTS);
    constexpr int ROWS = IN::height + 2 * F::row_padding - F::rows + 1;
    constexpr int COLUMNS = IN::width + 2 * F::column_padding - F::columns + 1;
    constexpr int HEIGHT = T::band + F::rows - 1, WIDTH = COLUMNS + F::columns - 1;
    constexpr int GROUPS = (F::outputs + T::outputs - 1) / T::outputs, FILLED = GROUPS * T::outputs;
    constexpr int FOUR = INPUTS / 4 * 4;
    float *weights = room, *tile = room + (TAPS * INPUTS * FILLED + 3) / 4 * 4;
    const int image = blockIdx.y * T::images, row = blockIdx.x * T::band;

    load<IN, T::images, HEIGHT, WIDTH, PITCH>(in, images, image, row - F::row_padding, -F::column_padding, tile);
    filter += run() * TAPS * INPUTS * F::outputs;
    for (int i = threadIdx.x; i < TAPS * INPUTS * FILLED; i += blockDim.x) {
        const int o = i % FILLED;
        weights[i] = o < F::outputs ? filter[i / FILLED * F::outputs + o] : 0.0f;
    }
    __syncthreads();

    constexpr int COUNT = T::images * T::band * COLUMNS, SLOTS = (COUNT + T::pixels - 1) / T::pixels;
    for (int item = threadIdx.x; item < SLOTS * GROUPS; item += blockDim.x) {
        const int slot = item % SLOTS, o = item / SLOTS * T::outputs;
        int places[T::pixels];
#pragma unroll
        for (int k = 0; k < T::pixels; k++) {
            const int pixel = min(slot + k * SLOTS, COUNT - 1);
            const int line = pixel / (T::band * COLUMNS) * HEIGHT + pixel / COLUMNS % T::band;
            places[k] = (line * WIDTH + pixel % COLUMNS) * PITCH;
        }
        float sums[T::pixels][T::outputs] = {};
        const float *weight = weights + o;
#pragma unroll 1
        for (int tap = 0; tap < TAPS; tap++) {
            const float *values = tile + (tap / F::columns * WIDTH + tap % F::columns) * PITCH;
#pragma unroll 1
            for (int c = 0; c < FOUR; c += 4, weight += 4 * FILLED)
                take<4, T::pixels, T::outputs, PITCH, FILLED>(values + c, places, weight, sums);
            if constexpr (INPUTS > FOUR) {
                take<INPUTS - FOUR, T::pixels, T::outputs, PITCH, FILLED>(values + FOUR, places, weight, sums);
                weight += (INPUTS - FOUR) * FILLED;
            }
        }
#pragma unroll
        for (int k = 0; k < T::pixels; k++) {
            const int pixel = slot + k * SLOTS, n = image + pixel / (T::band * COLUMNS);
            const int h = row + pixel / COLUMNS % T::band, w = pixel % COLUMNS;
            if (pixel >= COUNT || n >= images || h >= ROWS) continue;
            float *to = y + (((run() * images + n) * ROWS + h) * COLUMNS + w) * F::outputs + o;
            if (bias) {
#pragma unroll
                for (int j = 0; j < T::outputs; j++)
                    if (o + j < F::outputs) sums[k][j] += bias[run() * F::outputs + o + j];
            }
            if constexpr (FILLED == F::outputs) {
                put<T::outputs, aligned(F::outputs)>(sums[k], to);
            } else {
                for (int j = 0; j < T::outputs && o + j < F::outputs; j++) to[j] = sums[k][j];
            }
        }
    }
}

// What a block of a filter's gradient takes: IMAGES images, all their pixels in BAND rows at a time; a thread computes
// a row of taps for INPUTS times OUTPUTS channels of one image. blockIdx.x is the group of SLICE outputs.
template <int IMAGES, int BAND, int INPUTS, int OUTPUTS, int SLICE>
struct FilterTile {
    static constexpr int images = IMAGES, band = BAND, inputs = INPUTS, outputs = OUTPUTS, slice = SLICE;
};

// The gradient of a filter for each image: for each weight a chain over the pixels. `parts` is (run, image, row,
// column, input, output). blockIdx.y is the group of images.
template <class IN, class F, class T>
__device__ inline void filter_gradient(const Input &in, const float *dy, float *parts, int images)
{
    constexpr int INPUTS = IN::channels, TAPS = F::rows * F::columns, FILLED = (INPUTS + T::inputs - 1) / T::inputs * T::inputs;
    constexpr int PITCH = FILLED, WIDTH = IN::width + 2 * F::column_padding;
    constexpr int ROWS = IN::height + 2 * F::row_padding - F::rows + 1, COLUMNS = WIDTH - F::columns + 1;
    constexpr int HEIGHT = T::band + F::rows - 1;
    constexpr int ACROSS = FILLED / T::inputs, THREADS = ACROSS * F::rows * (T::slice / T::outputs);
    constexpr int TILE = (T::images * HEIGHT * WIDTH * PITCH + 3) / 4 * 4;
    float *tile = room, *gradient = room + TILE;
    const int first = blockIdx.x * T::slice, image = blockIdx.y * T::images;
    const int i = threadIdx.x / THREADS, place = threadIdx.x % THREADS;
    const int c = place % ACROSS * T::inputs, r = place / ACROSS % F::rows, o = place / ACROSS / F::rows * T::outputs;
    const bool works = i < T::images;

    float sums[F::columns][T::inputs][T::outputs] = {};
    for (int band = 0; band < ROWS; band += T::band) {
        __syncthreads();
        load<IN, T::images, HEIGHT, WIDTH, PITCH>(in, images, image, band - F::row_padding, -F::column_padding, tile);
        for (int k = threadIdx.x; k < T::images * T::band * COLUMNS * T::slice; k += blockDim.x) {
            const int out = first + k % T::slice, pixel = k / T::slice;
            const int n = image + pixel / (T::band * COLUMNS), h = band + pixel / COLUMNS % T::band, w = pixel % COLUMNS;
            const bool inside = out < F::outputs && n < images && h < ROWS;
            gradient[k] = inside ? dy[(((run() * images + n) * ROWS + h) * COLUMNS + w) * F::outputs + out] : 0.0f;
        }
        __syncthreads();
        if (!works) continue;
        for (int h = 0; h < T::band && band + h < ROWS; h++) {
            const float *line = tile + (i * HEIGHT + h + r) * WIDTH * PITCH + c;
            const float *from = gradient + (i * T::band + h) * COLUMNS * T::slice + o;
            float window[F::columns][T::inputs];
#pragma unroll
            for (int s = 1; s < F::columns; s++) fetch<T::inputs, aligned(T::inputs)>(line + (s - 1) * PITCH, window[s]);
#pragma unroll 2
            for (int w = 0; w < COLUMNS; w++) {
#pragma unroll
                for (int s = 1; s < F::columns; s++)
#pragma unroll
                    for (int j = 0; j < T::inputs; j++) window[s - 1][j] = window[s][j];
                float g[T::outputs];
                fetch<T::inputs, aligned(T::inputs)>(line + (w + F::columns - 1) * PITCH, window[F::columns - 1]);
                fetch<T::outputs, aligned(T::outputs)>(from + w * T::slice, g);
#pragma unroll
                for (int s = 0; s < F::columns; s++)
#pragma unroll
                    for (int j = 0; j < T::inputs; j++)
#pragma unroll
                        for (int k = 0; k < T::outputs; k++)
                            sums[s][j][k] = __fmaf_rn(window[s][j], g[k], sums[s][j][k]);
            }
        }
    }
    if (!works || image + i >= images) return;
    float *to = parts + (run() * images + image + i) * TAPS * INPUTS * F::outputs;
#pragma unroll
    for (int s = 0; s < F::columns; s++)
#pragma unroll
        for (int j = 0; j < T::inputs; j++)
#pragma unroll
            for (int k = 0; k < T::outputs; k++)
                if (c + j < INPUTS && first + o + k < F::outputs)
                    to[((r * F::columns + s) * INPUTS + c + j) * F::outputs + first + o + k] = sums[s][j][k];
}
