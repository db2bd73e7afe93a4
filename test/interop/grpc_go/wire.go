package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// rawCodec passes messages as they are: the few that are needed are written by hand below.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("not bytes: %T", v)
	}
	return b, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	target, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("not bytes: %T", v)
	}
	*target = append([]byte(nil), data...)
	return nil
}

func field(number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content)
}

func text(number protowire.Number, s string) []byte { return field(number, []byte(s)) }

func integer(number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n)
}

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// registerRequest is RegisterRequest{agent_meta=1 {version=1, pod_name=4}, pod_id=2}.
func registerRequest() []byte {
	return join(field(1, join(text(1, "v19.3.0"), text(4, "grpc-go"))), integer(2, 77))
}

// descriptor is ConnectRequest{descriptor=1 {agent_descriptor=1 {services=1 {name=1, methods=2 {name=1}}}}}.
func descriptor() []byte {
	service := join(text(1, "gitlab.agent.kubernetes_api.rpc.KubernetesApi"), field(2, text(1, "MakeRequest")))
	return field(1, field(1, field(1, service)))
}

// answer is what an agent sends for a request: header, then HttpResponse header, data and trailer as messages, trailer.
func answer(body string) [][]byte {
	contentType := join(text(1, "content-type"), field(2, text(1, "application/grpc+proto")))
	httpHeader := join(text(1, "Content-Type"), field(2, text(1, "text/plain")))
	response := field(1, field(1, join(integer(1, 200), text(2, "200 OK"), field(3, httpHeader))))
	message := func(payload []byte) []byte { return field(3, field(1, payload)) }
	return [][]byte{
		field(2, field(1, contentType)),
		message(response),
		message(field(2, text(1, body))),
		message(field(3, nil)),
		field(4, nil),
	}
}

func each(message []byte, visit func(protowire.Number, protowire.Type, []byte, uint64)) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		switch kind {
		case protowire.BytesType:
			content, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return
			}
			visit(number, kind, content, 0)
			message = message[n:]
		case protowire.VarintType:
			value, n := protowire.ConsumeVarint(message)
			if n < 0 {
				return
			}
			visit(number, kind, nil, value)
			message = message[n:]
		default:
			n := protowire.ConsumeFieldValue(number, kind, message)
			if n < 0 {
				return
			}
			message = message[n:]
		}
	}
}

func bytesField(message []byte, wanted protowire.Number) (found []byte) {
	each(message, func(number protowire.Number, kind protowire.Type, content []byte, _ uint64) {
		if number == wanted && kind == protowire.BytesType {
			found = content
		}
	})
	return found
}

func hasField(message []byte, wanted protowire.Number) (found bool) {
	each(message, func(number protowire.Number, _ protowire.Type, _ []byte, _ uint64) {
		found = found || number == wanted
	})
	return found
}

func varintField(message []byte, wanted protowire.Number) (found uint64) {
	each(message, func(number protowire.Number, kind protowire.Type, _ []byte, value uint64) {
		if number == wanted && kind == protowire.VarintType {
			found = value
		}
	})
	return found
}
