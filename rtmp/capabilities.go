package rtmp

import "sluice/amf0"

// The bits of capsEx, what a peer can do beyond the old protocol (Enhanced
// RTMP v2, "Enhancing NetConnection connect Command").
const (
	CapReconnect  uint32 = 1 // takes a request to connect anew
	CapMultitrack uint32 = 2
	CapModEx      uint32 = 4
	CapNanoOffset uint32 = 8
)

// canForward is the bit of a FourCcInfoMap of whoever passes a codec on
// without reading it.
const canForward = 4

// The properties of a connect command that tell of Enhanced RTMP.
const (
	propCapsEx    = "capsEx"
	propFourCCs   = "fourCcList"
	propVideoMap  = "videoFourCcInfoMap"
	propAudioMap  = "audioFourCcInfoMap"
	everyFourCC   = "*"
	reconnectCode = "NetConnection.Connect.ReconnectRequest"
)

// Capabilities are what a client says of itself when it connects. They are of
// use for what it is asked to do; what it is sent does not depend on them,
// because players that say nothing play everything.
type Capabilities struct {
	Enhanced bool   // it sent a property of Enhanced RTMP
	Ex       uint32 // its capsEx, 0 where that was none or no number
}

// readCapabilities reads the properties of a connect command. Some clients send
// garbage in them, which says no more than that the client knows of them.
func readCapabilities(params amf0.Object) Capabilities {
	var c Capabilities
	for _, key := range []string{propCapsEx, propFourCCs, propVideoMap, propAudioMap} {
		_, ok := params.Get(key)
		c.Enhanced = c.Enhanced || ok
	}
	v, _ := params.Get(propCapsEx)
	if bits, ok := v.(float64); ok && bits >= 0 && bits < 1<<32 {
		c.Ex = uint32(bits)
	}
	return c
}

// offer are the properties with which a server answers such a client: it
// passes on whatever comes.
func offer() amf0.Object {
	every := amf0.Object{{Key: everyFourCC, Value: canForward}}
	return amf0.Object{
		{Key: propCapsEx, Value: float64(CapReconnect | CapMultitrack | CapModEx | CapNanoOffset)},
		{Key: propVideoMap, Value: every},
		{Key: propAudioMap, Value: every},
		{Key: propFourCCs, Value: amf0.StrictArray{everyFourCC}},
	}
}

// Capabilities returns what the client said of itself in its connect command.
func (c *ServerConn) Capabilities() Capabilities { return c.caps }

// AskToReconnect asks the client to connect anew: to tcURL, or to where it is
// where that is empty. The client goes on here until it has done so, and has to
// be served until it closes the connection. Clients that have not said that
// they understand this are not asked; asked tells of it. It may be called from
// any goroutine once the connect command was accepted.
func (c *ServerConn) AskToReconnect(tcURL, description string) (asked bool, err error) {
	if c.caps.Ex&CapReconnect == 0 {
		return false, nil
	}
	info := status(levelStatus, reconnectCode, description)
	if tcURL != "" {
		info = append(info, amf0.Property{Key: "tcUrl", Value: tcURL})
	}
	body, err := amf0.AppendAll(nil, cmdStatus, 0, nil, info)
	if err != nil {
		return false, err
	}
	return true, c.Write(Message{Type: TypeCommand, ChunkStream: callStream, Body: body})
}
