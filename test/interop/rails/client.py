# The same as client.rb with Python's gRPC library; both are C-core inside.
import json
import os
import sys

import grpc

address, jwt, *calls = sys.argv[1:]
ca = os.environ.get("CA_FILE")
if ca:
    with open(ca, "rb") as file:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))
else:
    channel = grpc.insecure_channel(address)
metadata = [("authorization", "bearer " + jwt), ("kas-feature-some-flag", "true")]

for path, request in zip(calls[::2], calls[1::2]):
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        try:
            answer = channel.unary_unary("/" + path)(
                bytes.fromhex(request), timeout=5, metadata=metadata, compression=compression
            )
            outcome = {"code": 0, "message": "", "hex": answer.hex()}
        except grpc.RpcError as error:
            outcome = {"code": error.code().value[0], "message": error.details(), "hex": ""}
        if compression is grpc.Compression.NoCompression:
            plain = outcome
    assert plain == outcome, (plain, outcome)
    print(json.dumps(outcome))
