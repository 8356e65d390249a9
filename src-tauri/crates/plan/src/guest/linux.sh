#!/bin/sh
# rehost-readiness 1 linux
# Reads what decides whether this machine can be reached after its move to Azure, and prints it as key=value lines.
# It changes nothing. Run it as root, for the firewall and the boot image are hidden from others: sudo sh readiness.sh
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
say() { printf '%s=%s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
yes_no() { if "$@" >/dev/null 2>&1; then echo 1; else echo 0; fi; }

say readiness 1
say os linux
kernel=$(uname -r)
say kernel "$kernel"
say system "$( (. /etc/os-release && printf '%s %s' "$ID" "$VERSION_ID") 2>/dev/null)"
say admin "$([ "$(id -u)" = 0 ] && echo 1 || echo 0)"

# The SSH daemon: its unit, whether it runs, and whether it starts with the machine.
unit= running=0 boot=unknown
if has systemctl && systemctl list-unit-files >/dev/null 2>&1; then
    for name in sshd ssh; do
        if systemctl cat "$name.service" >/dev/null 2>&1; then unit=$name; break; fi
    done
    boot=0
    if [ -n "$unit" ]; then
        running=$(yes_no systemctl is-active "$unit.service")
        boot=$(yes_no systemctl is-enabled "$unit.service")
        # A socket may stand in for the service.
        if systemctl is-active "$unit.socket" >/dev/null 2>&1; then running=1; fi
        if systemctl is-enabled "$unit.socket" >/dev/null 2>&1; then boot=1; fi
    fi
else
    for pid in $(ls /proc 2>/dev/null | grep '^[0-9][0-9]*$'); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sshd ]; then running=1; break; fi
    done
    for link in /etc/rc2.d/S*ssh* /etc/rc3.d/S*ssh* /etc/runlevels/default/sshd; do
        if [ -e "$link" ]; then boot=1; fi
    done
fi
port=$( (sshd -T 2>/dev/null || cat /etc/ssh/sshd_config 2>/dev/null) | awk 'tolower($1) == "port" { print $2; exit }')
port=${port:-22}
say ssh.unit "$unit"
say ssh.running "$running"
say ssh.boot "$boot"
say ssh.port "$port"

# Hyper-V's drivers, without which the machine finds neither disk nor network in Azure.
modules=/lib/modules/$kernel
image=
for file in "/boot/initrd.img-$kernel" "/boot/initramfs-$kernel.img" "/boot/initrd-$kernel"; do
    if [ -r "$file" ]; then image=$file; break; fi
done
inside=
if [ -n "$image" ] && has lsinitramfs; then inside=$(lsinitramfs "$image" 2>/dev/null)
elif [ -n "$image" ] && has lsinitrd; then inside=$(lsinitrd "$image" 2>/dev/null)
fi
for driver in hv_vmbus hv_storvsc hv_netvsc; do
    state=missing
    if [ ! -d "$modules" ]; then state=unknown
    elif grep -q "/$driver\.ko" "$modules/modules.builtin" 2>/dev/null; then state=builtin
    elif printf '%s\n' "$inside" | grep -q "/$driver\.ko"; then state=image
    elif grep -q "/$driver\.ko" "$modules/modules.dep" 2>/dev/null; then state=module
    fi
    say "driver.$driver" "$state"
done
# Without a list of it, nobody knows what the boot image holds.
say image.read "$([ -n "$inside" ] && echo 1 || echo 0)"

# The firewall, and whether it lets SSH in.
kind=none open=1
if has ufw && ufw status 2>/dev/null | grep -q '^Status: active'; then
    kind=ufw
    open=$(yes_no sh -c "ufw status | grep -Eq '^(OpenSSH|$port|$port/tcp)[[:space:]]+(ALLOW|LIMIT)'")
elif has firewall-cmd && firewall-cmd --state >/dev/null 2>&1; then
    kind=firewalld
    open=$(yes_no firewall-cmd "--query-port=$port/tcp")
    if [ "$port" = 22 ] && firewall-cmd --query-service=ssh >/dev/null 2>&1; then open=1; fi
elif has iptables; then
    if rules=$(iptables -S INPUT 2>/dev/null); then
        case $rules in
            *'-P INPUT DROP'* | *'-j REJECT'* | *'-j DROP'*)
                kind=other
                open=$(printf '%s\n' "$rules" | grep -Eq -- "--dport $port .*-j ACCEPT" && echo 1 || echo 0)
                ;;
        esac
    else
        kind=unknown open=unknown
    fi
fi
say firewall "$kind"
say firewall.ssh "$open"

free=$(df -Pk / 2>/dev/null | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')
say space "/,$free"
say end 1
