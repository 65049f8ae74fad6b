package conf

import (
	"fmt"
	"net/netip"
)

// Network is a range of addresses, "10.0.0.0/8", or a single one, "10.0.0.1".
type Network netip.Prefix

// UnmarshalText reads a network.
func (n *Network) UnmarshalText(text []byte) error {
	s := string(text)
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		*n = Network(netip.PrefixFrom(ip, ip.BitLen()))
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is neither an address nor a network: write 10.0.0.1 or 10.0.0.0/8", s)
	}
	*n = Network(p.Masked())
	return nil
}

// MarshalText writes the network.
func (n Network) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// String returns the text of the network, that of the address alone for a
// single one.
func (n Network) String() string {
	p := netip.Prefix(n)
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// ThisMachine returns the loopback networks.
func ThisMachine() []Network {
	const ipv4, ipv6 = 8, 128 // bits
	return []Network{
		Network(netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), ipv4)),
		Network(netip.PrefixFrom(netip.IPv6Loopback(), ipv6)),
	}
}

// Prefixes returns networks as the standard library knows them.
func Prefixes(ns []Network) []netip.Prefix {
	ps := make([]netip.Prefix, len(ns))
	for i, n := range ns {
		ps[i] = netip.Prefix(n)
	}
	return ps
}
