//! design + inventory -> Plan
