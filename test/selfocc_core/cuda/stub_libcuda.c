// A libcuda.so.1 without a GPU: it counts what is taken and given back, remembers one launch, and
// copies when it is told to. Real bindings are tested on it: what they pass must arrive. It is the
// driver of JetPack 6: what a later CUDA brought, such as cuEventElapsedTime_v2 (12.8), it lacks.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
typedef void *Handle;

enum { DRIVER_VERSION = 12060 };
static struct { int taken, contexts, flags, mode, sizes[7]; uint64_t arguments[2]; } seen;
static uint64_t next_handle = 0x1000;

static CUresult take(Handle *handle) { seen.taken++; *handle = (Handle)next_handle++; return 0; }
static CUresult give_back(void) { seen.taken--; return 0; }

const void *selfocc_seen(void) { return &seen; }

CUresult cuInit(unsigned flags) { return flags; }
CUresult cuDriverGetVersion(int *version) { *version = DRIVER_VERSION; return 0; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return 0; }
CUresult cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
CUresult cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Stub", size); return 0; }
CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 1 << 20; return 0; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute; return 0; }
CUresult cuDeviceComputeCapability(int *major, int *minor, int device) {
  *major = 8, *minor = 7; return 0; }
CUresult cuDevicePrimaryCtxRetain(Handle *context, int device) { seen.contexts++; *context = (Handle)7; return 0; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { seen.contexts--; return 0; }
CUresult cuCtxPushCurrent_v2(Handle context) { seen.contexts += context == (Handle)7; return 0; }
CUresult cuCtxPopCurrent_v2(Handle *context) { seen.contexts--; return 0; }
CUresult cuMemGetInfo_v2(size_t *free, size_t *total) { *free = 3, *total = 5; return 0; }
CUresult cuGetErrorName(CUresult error, const char **name) {
  *name = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_NOT_FOUND"; return 0; }
CUresult cuGetErrorString(CUresult error, const char **text) { *text = "out of memory"; return 0; }

CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
  if (size > 1 << 20) return 2;
  seen.taken++; *pointer = (CUdeviceptr)malloc(size); return 0; }
CUresult cuMemFree_v2(CUdeviceptr pointer) { free((void *)pointer); return give_back(); }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) {
  seen.taken++; seen.flags = flags; *address = malloc(size); return 0; }
CUresult cuMemFreeHost(void *address) { free(address); return give_back(); }
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *pointer, void *address, unsigned flags) {
  *pointer = (CUdeviceptr)address; return 0; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, Handle stream) {
  memcpy((void *)target, source, size); return 0; }
CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, Handle stream) {
  memcpy(target, (void *)source, size); return 0; }

CUresult cuStreamCreate(Handle *stream, unsigned flags) { return flags == 1 ? take(stream) : 1; }
CUresult cuStreamDestroy_v2(Handle stream) { return give_back(); }
CUresult cuStreamSynchronize(Handle stream) { return 0; }
CUresult cuEventCreate(Handle *event, unsigned flags) { return take(event); }
CUresult cuEventDestroy_v2(Handle event) { return give_back(); }
CUresult cuEventRecord(Handle event, Handle stream) { return event && stream ? 0 : 1; }
CUresult cuEventElapsedTime(float *milliseconds, Handle start, Handle end) {
  *milliseconds = (float)((uint64_t)end - (uint64_t)start); return 0; }


CUresult cuStreamBeginCapture_v2(Handle stream, int mode) { seen.mode = mode; return 0; }
CUresult cuStreamEndCapture(Handle stream, Handle *graph) { return take(graph); }
CUresult cuGraphInstantiateWithFlags(Handle *executable, Handle graph, unsigned long long flags) {
  return take(executable); }
CUresult cuGraphLaunch(Handle executable, Handle stream) { return executable && stream ? 0 : 1; }
CUresult cuGraphDestroy(Handle graph) { return give_back(); }
CUresult cuGraphExecDestroy(Handle executable) { return give_back(); }

CUresult cuModuleLoadData(Handle *module, const void *image) {
  return memcmp(image, "\177ELF\0cubin", 10) ? 200 : take(module); }
CUresult cuModuleUnload(Handle module) { return give_back(); }
CUresult cuModuleGetFunction(Handle *function, Handle module, const char *name) {
  *function = (Handle)9; return strcmp(name, "attend") ? 500 : 0; }
CUresult cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                        unsigned by, unsigned bz, unsigned shared, Handle stream, void **arguments,
                        void **extra) {
  if (function != (Handle)9 || !stream || extra) return 1;
  int sizes[7] = {gx, gy, gz, bx, by, bz, shared};
  memcpy(seen.sizes, sizes, sizeof sizes);
  seen.arguments[0] = *(uint64_t *)arguments[0];
  seen.arguments[1] = *(int32_t *)arguments[1];
  return 0; }

// cuda-python asks for functions by name and version of CUDA, as the real library offers it.
CUresult cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
  *function = NULL;
  if (found) *found = 1;
  if (version > DRIVER_VERSION) return 1;  // CUDA_ERROR_INVALID_VALUE, as documented
  void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_NOW);
  char newer[128] = "";
  strcat(strncat(newer, name, 100), "_v2");
  *function = dlsym(self, newer);
  if (!*function) *function = dlsym(self, name);
  if (!strcmp(name, "cuGraphInstantiate")) *function = (void *)cuGraphInstantiateWithFlags;
  if (found) *found = *function ? 0 : 1;
  return *function ? 0 : 500; }
CUresult cuGetProcAddress(const char *name, void **function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(name, function, version, flags, NULL); }
