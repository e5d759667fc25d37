// Convolutions in exact arithmetic, as a GPU computes them: a 3 x 3 filter, a stride of 1. See kernels.cuh.

constexpr int SIZE = 3, TAPS = SIZE * SIZE;
constexpr int PIXELS = 2, CHANNELS = 8;  // what a thread of a convolution computes
constexpr int COLUMNS = 4;               // a thread of a filter's gradient: a row of taps, for so many outputs

// Values that a thread reads from shared memory at once.
template <int COUNT>
struct alignas(16) Several {
    float of[COUNT];
};

struct Layer {
    int images, height, width, inputs, rows, columns, outputs, padding;
};

// The length of a channel in a tile. It is odd, so that a warp meets 32 banks along a row and across channels alike.
__device__ inline int plane_of(int images, int height, int width) { return images * height * width | 1; }

// Copy `count` channels of x from `first` on into `tile`, a plane each: `images` images from `image` on, `height` rows
// and `width` columns from `row` and `column` on. What is outside of x is +0.
__device__ inline void load_planes(
    const float *x, Shape whole, int image, int images, int row, int height, int column, int width, int first,
    int count, float *tile)
{
    const int plane = plane_of(images, height, width);
    for (int i = threadIdx.x; i < images * height * width * count; i += blockDim.x) {
        const int c = i % count, place = i / count;
        const int n = image + place / (height * width);
        const int h = row + place / width % height, w = column + place % width;
        const bool inside = n < whole.images && 0 <= h && h < whole.height && 0 <= w && w < whole.width &&
                            first + c < whole.channels;
        const size_t pixel = ((seed() * whole.images + n) * whole.height + h) * whole.width + w;
        tile[c * plane + place] = inside ? x[pixel * whole.channels + first + c] : 0.0f;
    }
}

// A convolution: for each output a chain over r, s and the inputs, then the bias. A block takes `images` images from
// blockIdx.y * images on, `band` rows of each from blockIdx.x * band on. FLIPPED is the gradient of the input: dy is
// x, its channels are the inputs, and the taps of the filter come in reverse.
template <bool FLIPPED>
__device__ inline void convolve(
    const float *x, const float *filter, const float *bias, float *y, Layer a, int images, int band)
{
    const int image = blockIdx.y * images, row = blockIdx.x * band;
    const int height = band + SIZE - 1, width = a.columns + SIZE - 1;
    const int plane = plane_of(images, height, width);
    const int groups = (a.outputs + CHANNELS - 1) / CHANNELS, filled = groups * CHANNELS;
    float *weights = room;  // (r, s, input, output), filled with zero outputs
    float *tile = room + TAPS * a.inputs * filled;

    const Shape whole = {a.images, a.height, a.width, a.inputs};
    load_planes(x, whole, image, images, row - a.padding, height, -a.padding, width, 0, a.inputs, tile);
    for (int i = threadIdx.x; i < TAPS * a.inputs * filled; i += blockDim.x) {
        const int o = i % filled, c = i / filled % a.inputs, tap = i / filled / a.inputs;
        const size_t at = FLIPPED ? ((seed() * a.inputs + c) * a.outputs + o) * TAPS + (TAPS - 1 - tap)
                                  : ((seed() * a.outputs + o) * a.inputs + c) * TAPS + tap;
        weights[i] = o < a.outputs ? filter[at] : 0.0f;
    }
    __syncthreads();

    const int pixels = images * band * a.columns, slots = (pixels + PIXELS - 1) / PIXELS;
    for (int item = threadIdx.x; item < slots * groups; item += blockDim.x) {
        const int slot = item % slots, o = item / slots * CHANNELS;
        int place[PIXELS];
        for (int k = 0; k < PIXELS; k++) {
            const int pixel = min(slot + k * slots, pixels - 1);
            place[k] = (pixel / (band * a.columns) * height + pixel / a.columns % band) * width + pixel % a.columns;
        }
        float sum[PIXELS][CHANNELS] = {};
        const float *weight = weights + o;
        for (int tap = 0; tap < TAPS; tap++) {
            const float *value = tile + tap / SIZE * width + tap % SIZE;
#pragma unroll 4
            for (int c = 0; c < a.inputs; c++, value += plane, weight += filled) {
                const Several<CHANNELS> w = *(const Several<CHANNELS> *)weight;
                for (int k = 0; k < PIXELS; k++)
                    for (int j = 0; j < CHANNELS; j++) sum[k][j] = __fmaf_rn(value[place[k]], w.of[j], sum[k][j]);
            }
        }
        for (int k = 0; k < PIXELS; k++) {
            const int pixel = slot + k * slots, n = image + pixel / (band * a.columns);
            const int h = row + pixel / a.columns % band, w = pixel % a.columns;
            if (pixel >= pixels || n >= a.images || h >= a.rows) continue;
            float *to = y + (((seed() * a.images + n) * a.rows + h) * a.columns + w) * a.outputs;
            for (int j = 0; j < CHANNELS && o + j < a.outputs; j++)
                to[o + j] = bias ? sum[k][j] + bias[seed() * a.outputs + o + j] : sum[k][j];
        }
    }
}

extern "C" __global__ void forward(
    const float *x, const float *filter, const float *bias, float *y, Layer a, int images, int band)
{
    convolve<false>(x, filter, bias, y, a, images, band);
}

// `a` is the layer turned round: its inputs are the channels of dy, its padding is SIZE - 1 less the forward one.
extern "C" __global__ void input_gradient(
    const float *dy, const float *filter, float *dx, Layer a, int images, int band)
{
    convolve<true>(dy, filter, nullptr, dx, a, images, band);
}

// The gradient of the filter, first half: for each image and each weight a chain over the pixels. A block takes the
// image blockIdx.y, `inputs` inputs and `outputs` outputs. A thread moves a window of SIZE columns along each row.
extern "C" __global__ void filter_parts(const float *x, const float *dy, float *parts, Layer a, int inputs, int outputs)
{
    const int slices = (a.outputs + outputs - 1) / outputs;
    const int first_c = blockIdx.x / slices * inputs, first_o = blockIdx.x % slices * outputs, n = blockIdx.y;
    const int height = a.rows + SIZE - 1, width = a.columns + SIZE - 1, plane = plane_of(1, height, width);
    const int pixels = a.rows * a.columns;
    float *gradient = room;  // (pixel, output), filled with zero outputs
    float *tile = room + pixels * outputs;

    const Shape whole = {a.images, a.height, a.width, a.inputs};
    load_planes(x, whole, n, 1, -a.padding, height, -a.padding, width, first_c, inputs, tile);
    for (int i = threadIdx.x; i < pixels * outputs; i += blockDim.x) {
        const int o = first_o + i % outputs;
        gradient[i] = o < a.outputs ? dy[((seed() * a.images + n) * pixels + i / outputs) * a.outputs + o] : 0.0f;
    }
    __syncthreads();

    for (int item = threadIdx.x; item < inputs * SIZE * (outputs / COLUMNS); item += blockDim.x) {
        const int c = item % inputs, r = item / inputs % SIZE, o = item / inputs / SIZE * COLUMNS;
        float sum[SIZE][COLUMNS] = {};
        const float *from = gradient + o;
        for (int h = 0; h < a.rows; h++) {
            const float *line = tile + c * plane + (h + r) * width;
            float window[SIZE];
            for (int s = 1; s < SIZE; s++) window[s] = line[s - 1];
#pragma unroll 3
            for (int w = 0; w < a.columns; w++, from += outputs) {
                const Several<COLUMNS> g = *(const Several<COLUMNS> *)from;
                for (int s = 1; s < SIZE; s++) window[s - 1] = window[s];
                window[SIZE - 1] = line[w + SIZE - 1];
                for (int s = 0; s < SIZE; s++)
                    for (int j = 0; j < COLUMNS; j++) sum[s][j] = __fmaf_rn(window[s], g.of[j], sum[s][j]);
            }
        }
        for (int j = 0; j < COLUMNS; j++) {
            const int in = first_c + c, out = first_o + o + j;
            if (in >= a.inputs || out >= a.outputs) break;
            float *to = parts + (((seed() * a.images + n) * a.outputs + out) * a.inputs + in) * TAPS + r * SIZE;
            for (int s = 0; s < SIZE; s++) to[s] = sum[s][j];
        }
    }
}

// The gradient of the filter, second half: the images in float64. A thread takes one of `count` weights.
extern "C" __global__ void add_images(const float *parts, float *gradient, int images, int count)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    double total = 0;
#pragma unroll 8
    for (int n = 0; n < images; n++) total += (double)parts[(seed() * images + n) * count + i];
    gradient[seed() * count + i] = (float)total;
}
