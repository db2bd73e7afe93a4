/** A full method with leading slash, as log lines and metrics name it. */
export function methodFields(path: string): { readonly grpc_service: string; readonly grpc_method: string } {
  const slash = path.lastIndexOf('/');
  return { grpc_service: path.slice(1, slash), grpc_method: path.slice(slash + 1) };
}
