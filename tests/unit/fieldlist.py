"""The field list of the services that are shipped, as tables: what is required, and the values of every closed list."""

from __future__ import annotations

ROOTS = {
    "schwerbehindertenausweis": "schwerbehindertenausweis",
    "hundesteuer": "hundesteuer",
    "kleiner-waffenschein": "kleinerWaffenschein",
    "wohngeld": "wohngeld",
    "meldebescheinigung": "meldebescheinigung",
}

# Everything the field list marks as required: in every message, then per service. A path counts from the root; a block
# that is itself optional is required only where it stands, so its path is taken from the full sample.
REQUIRED_EVERYWHERE = """
    kopf kopf/nachrichtId kopf/erstellt kopf/leistung kopf/ars kopf/onlinedienst kopf/testnachricht antragsteller
    identitaet/konto identitaet/vertrauensniveau
    antragsteller/person/familienname antragsteller/person/vornamen antragsteller/person/geburtsdatum
    antragsteller/anschrift/ort vertretung/art erklaerung/art erklaerung/abgegeben
    anlage/bezeichnung anlage/art anlage/dateiname anlage/mimetype anlage/groesse anlage/sha256
"""
REQUIRED = {
    "schwerbehindertenausweis": """antragsart gesundheitsstoerung gesundheitsstoerung/bezeichnung arzt/name
        schweigepflichtentbindung krankenhausaufenthalt/zeitraum/von""",
    "hundesteuer": """halter hund hund/rufname hund/rasse hund/haltungSeit anzahlImHaushalt lastschrift/bankverbindung
        lastschrift/mandatErteilt lastschrift/bankverbindung/kontoinhaber lastschrift/bankverbindung/iban""",
    "kleiner-waffenschein": """ausweisdokument ausweisdokument/art wohnsitz5Jahre wohnsitz5Jahre/zeitraum/von
        vertretung/organisation/name zahlung/status""",
    "wohngeld": """art antragsart haushaltsmitglied wohnung/einzug wohnung/flaeche miete/kaltmiete bankverbindung/iban
        bankverbindung/kontoinhaber""",
    "meldebescheinigung": "art person anschriftAktuell anzahl versand anschriftAktuell/ort zahlung/status",
}
# The same list seen from the types: what stands inside a block and must be there whenever the block is.
REQUIRED_IN_TYPE = {
    "Kopf": "nachrichtId erstellt leistung ars onlinedienst testnachricht",
    "Onlinedienst": "portal",
    "Identitaet": "konto vertrauensniveau",
    "Erklaerung": "art abgegeben",
    "Anlage": "bezeichnung art dateiname mimetype groesse sha256",
    "Zeitraum": "von",
    "Person": "familienname vornamen geburtsdatum",
    "Anschrift": "ort",
    "Organisation": "name",
    "Vertretung": "art",
    "Ausweisdokument": "art",
    "Bankverbindung": "kontoinhaber iban",
    "Lastschrift": "bankverbindung mandatErteilt",
    "Zahlung": "status",
    "Hund": "rufname haltungSeit",
    "Gesundheitsstoerung": "bezeichnung",
    "Arzt": "name",
    "Ermittlungsverfahren": "zutreffend",
    "SuchtOderErkrankung": "zutreffend",
    "Eingangsbestaetigung": "nachrichtId erstellt eingangsnummer eingegangen leistung testnachricht bezug sha256",
    "Wohnung": "einzug flaeche",
    "Miete": "kaltmiete",
}
CODES = {
    "basis": {
        "Nutzerkonto": "BundID|MeinUnternehmenskonto|Landeskonto|ohne",
        "Vertrauensniveau": "ohne|normal|substantiell|hoch",
        "Geschlecht": "m|w|d|ohne Angabe",
        "Vertretungsart": "bevollmaechtigt|betreuung|sorgeberechtigt|vormund|gesetzlich",
        "Zahlungsstatus": "bezahlt|offen|gebuehrenfrei",
        "Rhythmus": "monatlich|jaehrlich",
        "Erklaerungsart": "richtigkeit|datenschutz|einwilligung|schweigepflichtentbindung|mitwirkung",
    },
    "schwerbehindertenausweis": {
        "Antragsart": "erstantrag|aenderung|nur Merkzeichen",
        "Ursache": "krankheit|unfall|angeboren|berufskrankheit|kriegsfolge|sonstige",
        "Merkzeichen": "G|aG|B|H|Bl|Gl|TBl|RF",
        "Pflegegrad": "1|2|3|4|5",
    },
    "hundesteuer": {"Hundegeschlecht": "m|w", "Ermaessigungsgrund": "assistenzhund|wachhund|tierheim|dienst|jagd"},
    "kleiner-waffenschein": {},
    "wohngeld": {
        "Wohngeldart": "miet|lasten",
        "Antragsart": "erst|weiterleistung|erhoehung",
        "Transferleistung": "keine|SGB II|SGB XII|AsylbLG|BAföG",
    },
    "meldebescheinigung": {
        "Bescheinigungsart": "einfach|erweitert",
        "Rolle": "selbst|ehegatte|kind",
        "Zusatzangabe": "familienstand|staatsangehoerigkeit|einzugsdatum|kinder|ehegatte|religion|fruehere Namen",
        "Gebuehrenbefreiung": "rente|bafoeg|kindergeld",
        "Versand": "postfach|post",
    },
}
