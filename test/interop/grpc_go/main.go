// grpc_go plays an agent with google.golang.org/grpc, the library that agentk uses: it registers, asks for its
// configuration and answers proxied requests through tunnels, natively or inside a WebSocket. At its end it prints one
// line of JSON about what it saw.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

const (
	registerPath      = "/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register"
	configurationPath = "/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration"
	tunnelPath        = "/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect"
)

// report is what the program prints.
type report struct {
	mu             sync.Mutex
	Connections    int      `json:"connections"`
	Registered     int      `json:"registered"`
	RegisterErrors []string `json:"register_errors"`
	AgentID        uint64   `json:"agent_id"`
	Configured     int      `json:"configured"`
	ConfigErrors   []string `json:"config_errors"`
	TunnelsEnded   int      `json:"tunnels_ended"`
	TunnelErrors   []string `json:"tunnel_errors"`
	Served         int      `json:"served"`
	Compressed     int      `json:"compressed_answers"`
}

func (r *report) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func main() {
	address := flag.String("address", "", "grpc://host:port or ws://host:port/path")
	token := flag.String("token", "agent-token-1", "agent token")
	duration := flag.Duration("duration", time.Hour, "how long to play")
	tunnels := flag.Int("tunnels", 2, "idle tunnels")
	registerEvery := flag.Duration("register-every", time.Minute, "time between registrations")
	pingEvery := flag.Duration("ping-every", 55*time.Second, "keepalive")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *duration)
	defer cancel()
	r := &report{RegisterErrors: []string{}, ConfigErrors: []string{}, TunnelErrors: []string{}}
	conn := dial(*address, *pingEvery, r)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*token)

	var wg sync.WaitGroup
	start := func(f func(context.Context, *grpc.ClientConn, *report)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(ctx, conn, r)
		}()
	}
	start(func(ctx context.Context, conn *grpc.ClientConn, r *report) {
		registerLoop(ctx, conn, r, *registerEvery)
	})
	start(configurationLoop)
	for i := 0; i < *tunnels; i++ {
		start(tunnelLoop)
	}
	fmt.Println("started")
	wg.Wait()
	conn.Close()
	out, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(out))
}

func dial(address string, pingEvery time.Duration, r *report) *grpc.ClientConn {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("gitlab-agent/v19.3.0/00000000"),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, PermitWithoutStream: true}),
		grpc.WithStatsHandler(counter{r}),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name), grpc.ForceCodec(rawCodec{}), grpc.WaitForReady(true)),
	}
	target := "passthrough:///" + strings.TrimPrefix(address, "grpc://")
	if strings.HasPrefix(address, "ws") {
		target = "passthrough:///kas"
		options = append(options,
			grpc.WithAuthority(strings.ReplaceAll(address, "/", "%2F")),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				socket, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{
					Subprotocols:    []string{"ws-tunnel"},
					CompressionMode: websocket.CompressionDisabled,
				})
				if err != nil {
					return nil, err
				}
				socket.SetReadLimit(10 << 20)
				return websocket.NetConn(context.Background(), socket, websocket.MessageBinary), nil
			}))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		panic(err)
	}
	return conn
}

// counter counts connections and answers that came compressed.
type counter struct{ r *report }

func (counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c counter) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnBegin); ok {
		c.r.note(func() { c.r.Connections++ })
	}
}
func (c counter) HandleRPC(_ context.Context, s stats.RPCStats) {
	if head, ok := s.(*stats.InHeader); ok && head.Compression != "" {
		c.r.note(func() { c.r.Compressed++ })
	}
}

func registerLoop(ctx context.Context, conn *grpc.ClientConn, r *report, every time.Duration) {
	for ctx.Err() == nil {
		var answer []byte
		err := conn.Invoke(ctx, registerPath, registerRequest(), &answer)
		r.note(func() {
			switch {
			case err == nil:
				r.Registered++
			case ctx.Err() == nil:
				r.RegisterErrors = append(r.RegisterErrors, err.Error())
			}
		})
		pause(ctx, every)
	}
}

func configurationLoop(ctx context.Context, conn *grpc.ClientConn, r *report) {
	for ctx.Err() == nil {
		err := configuration(ctx, conn, r)
		if err != nil && ctx.Err() == nil {
			r.note(func() { r.ConfigErrors = append(r.ConfigErrors, err.Error()) })
			pause(ctx, 200*time.Millisecond)
		}
	}
}

func configuration(ctx context.Context, conn *grpc.ClientConn, r *report) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, configurationPath)
	if err != nil {
		return err
	}
	if err = stream.SendMsg([]byte{}); err != nil {
		return err
	}
	if err = stream.CloseSend(); err != nil {
		return err
	}
	for {
		var message []byte
		err = stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// ConfigurationResponse.configuration = 1, AgentConfiguration.agent_id = 4
		id := varintField(bytesField(message, 1), 4)
		r.note(func() { r.Configured++; r.AgentID = id })
	}
}

func tunnelLoop(ctx context.Context, conn *grpc.ClientConn, r *report) {
	for ctx.Err() == nil {
		err := tunnel(ctx, conn, r)
		if ctx.Err() != nil {
			return
		}
		r.note(func() {
			if err != nil && status.Code(err) != codes.Canceled {
				r.TunnelErrors = append(r.TunnelErrors, err.Error())
			} else {
				r.TunnelsEnded++
			}
		})
		if err != nil {
			pause(ctx, 200*time.Millisecond)
		}
	}
}

func tunnel(ctx context.Context, conn *grpc.ClientConn, r *report) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, tunnelPath)
	if err != nil {
		return err
	}
	if err = stream.SendMsg(descriptor()); err != nil {
		return receiveError(stream, err)
	}
	asked := 0
	for {
		var message []byte
		err = stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// ConnectResponse: request_info = 1, message = 2, close_send = 3
		switch {
		case hasField(message, 2):
			asked += len(bytesField(bytesField(message, 2), 1))
		case hasField(message, 3):
			for _, part := range answer(fmt.Sprintf("%d bytes asked", asked)) {
				if err = stream.SendMsg(part); err != nil {
					return receiveError(stream, err)
				}
			}
			if err = stream.CloseSend(); err != nil {
				return err
			}
			r.note(func() { r.Served++ })
		}
	}
}

// receiveError gets the status behind the io.EOF that sending on a broken stream returns.
func receiveError(stream grpc.ClientStream, err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	var message []byte
	for {
		if err = stream.RecvMsg(&message); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func init() {
	// Nothing but the report belongs on standard output.
	os.Setenv("GRPC_GO_LOG_SEVERITY_LEVEL", "error")
}
