# Calls the internal API as GitLab does: Ruby's gRPC library, methods that are looked up by name, messages as bytes.
# usage: client.rb ADDRESS JWT SERVICE/METHOD HEX...; prints one JSON line for each call. CA_FILE: with TLS.
require 'grpc'
require 'json'

address, jwt, *calls = ARGV
ca = ENV['CA_FILE']
credentials = ca ? GRPC::Core::ChannelCredentials.new(File.read(ca)) : :this_channel_is_insecure
stub = GRPC::ClientStub.new(address, credentials, timeout: 5)
metadata = { 'authorization' => "bearer #{jwt}", 'kas-feature-some-flag' => 'true' }
same = ->(bytes) { bytes }

calls.each_slice(2) do |path, hex|
  answer = stub.request_response("/#{path}", [hex].pack('H*'), same, same, metadata: metadata)
  puts JSON.generate(code: 0, message: '', hex: answer.unpack1('H*'))
rescue GRPC::BadStatus => e
  puts JSON.generate(code: e.code, message: e.details, hex: '')
end
