// Stands for libcuda.so: the functions of NVIDIA's driver that `driver.py` calls, for a "GPU" that is the host. A module
// is the path of a library of kernels behind host.h. Its memory can be limited, to see what happens when it ends. Several
// threads may use it, if each has kernels of its own. After a fault of a kernel it refuses everything, as a GPU does for
// the rest of the process; here until a Device is made anew.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

typedef bool (*Entry)(const unsigned *, unsigned, unsigned, void **);
typedef std::uintptr_t Address;
enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

struct Function {
    Entry entry;
    unsigned count;
    std::size_t sizes[64];
    unsigned shared; // the bytes that a launch may take
};
struct Call {
    Entry entry;
    unsigned grid[3], block, bytes;
    std::vector<std::vector<char>> arguments;
};
typedef std::vector<Call> Graph;
static thread_local Graph *capturing;
static std::mutex memory;
static std::map<Address, std::size_t> blocks;
static std::size_t used, capacity = (std::size_t)1 << 40;
static int fault = SUCCESS;

static int run(const Call &call)
{
    std::vector<void *> pointers;
    for (const std::vector<char> &one : call.arguments) pointers.push_back((void *)one.data());
    if (!call.entry(call.grid, call.block, call.bytes, pointers.data())) fault = ILLEGAL_ADDRESS;
    return fault;
}

extern "C" {
void emulated_capacity(std::size_t bytes) { capacity = bytes; }
std::size_t emulated_memory() { return used; }

int cuInit(unsigned) { return SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int) { return *device = 0, SUCCESS; }
int cuDeviceGetName(char *name, int size, int) { return std::strncpy(name, "emulated GPU", size), SUCCESS; }
int cuDeviceGetAttribute(int *value, int, int) { return *value = 9, SUCCESS; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = nullptr, fault = SUCCESS; }
int cuCtxSetCurrent(void *) { return SUCCESS; }
int cuGetErrorString(int error, const char **text)
{
    return *text = error == OUT_OF_MEMORY ? "out of memory" : "an illegal memory access was encountered", SUCCESS;
}

// Memory ends where a page ends, and the next page cannot be used: who reads or writes behind it crashes.
int cuMemAlloc_v2(Address *address, std::size_t size)
{
    std::lock_guard<std::mutex> lock(memory);
    if (fault) return fault;
    if (used + size > capacity) return OUT_OF_MEMORY;
    const std::size_t page = 4096, whole = (size + page - 1) / page * page;
    char *pages = (char *)mmap(nullptr, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + whole, page, PROT_NONE)) return OUT_OF_MEMORY;
    *address = (Address)(pages + whole - (size + 15) / 16 * 16);
    std::memset((void *)*address, -1, size);
    blocks[*address] = size;
    used += size;
    return SUCCESS;
}
int cuMemFree_v2(Address address)
{
    std::lock_guard<std::mutex> lock(memory);
    if (fault) return fault;
    if (!blocks.count(address)) return INVALID;
    const std::size_t page = 4096, whole = (blocks[address] + page - 1) / page * page;
    munmap((void *)(address / page * page), whole + page);
    used -= blocks[address];
    blocks.erase(address);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(Address to, const void *from, std::size_t size, void *)
{
    return std::memcpy((void *)to, from, size), fault;
}
int cuMemcpyDtoHAsync_v2(void *to, Address from, std::size_t size, void *)
{
    return std::memcpy(to, (void *)from, size), fault;
}

int cuModuleLoadData(void **module, const void *image)
{
    return (*module = dlopen((const char *)image, RTLD_NOW)) ? SUCCESS : INVALID;
}
int cuModuleGetFunction(void **function, void *module, const char *name)
{
    void *entry = dlsym(module, (std::string("launch_") + name).c_str());
    void *sizes = dlsym(module, (std::string("sizes_") + name).c_str());
    if (!entry || !sizes) return NOT_FOUND;
    Function *made = new Function{(Entry)entry, 0, {}, 48 * 1024};
    made->count = ((unsigned (*)(std::size_t *))sizes)(made->sizes);
    return *function = made, SUCCESS;
}
int cuFuncGetAttribute(int *value, int, void *) { return *value = 0, SUCCESS; }
int cuFuncSetAttribute(void *function, int, int value) { return ((Function *)function)->shared = value, SUCCESS; }
int cuStreamCreate(void **stream, unsigned) { return *stream = nullptr, SUCCESS; }
int cuStreamSynchronize(void *) { return fault; }

int cuLaunchKernel(
    void *function, unsigned x, unsigned y, unsigned z, unsigned block, unsigned, unsigned, unsigned bytes, void *,
    void **arguments, void **)
{
    const Function &of = *(Function *)function;
    if (fault) return fault;
    if (bytes > of.shared) return INVALID;
    Call call = {of.entry, {x, y, z}, block, bytes, {}};
    for (unsigned i = 0; i < of.count; i++)
        call.arguments.emplace_back((const char *)arguments[i], (const char *)arguments[i] + of.sizes[i]);
    if (!capturing) return run(call);
    capturing->push_back(call);
    return SUCCESS;
}
int cuStreamBeginCapture_v2(void *, int) { return capturing = new Graph, SUCCESS; }
int cuStreamEndCapture(void *, void **graph)
{
    *graph = capturing;
    capturing = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long)
{
    return *executable = new Graph(*(Graph *)graph), SUCCESS;
}
int cuGraphDestroy(void *graph) { return delete (Graph *)graph, SUCCESS; }
int cuGraphLaunch(void *graph, void *)
{
    for (const Call &call : *(Graph *)graph)
        if (fault || run(call)) break;
    return fault;
}
}
