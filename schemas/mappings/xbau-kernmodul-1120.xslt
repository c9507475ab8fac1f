<?xml version="1.0" encoding="UTF-8"?>
<!--
  Eingangsbestätigung nach XBau-Kernmodul 1.3 (prozessnachrichten.eingangsbestaetigung.1120) zu einer Nachricht von XBau oder
  dem Kernmodul. In der manifest.toml des Pakets eintragen:

      [answers]
      acknowledgement = "xbau-kernmodul-1120.xslt"
-->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:xbauk="http://www.xleitstelle.de/xbau/kernmodul/1/3/0"
                xmlns:g2g="http://xoev.de/schemata/basisnachricht/g2g/1_1"
                exclude-result-prefixes="g2g">
  <xsl:output method="xml" encoding="UTF-8" indent="yes"/>
  <xsl:param name="message_id"/>
  <xsl:param name="created"/>
  <xsl:param name="reference"/>
  <xsl:param name="received_on"/>
  <xsl:param name="test"/>
  <xsl:param name="product"/>
  <xsl:param name="product_version"/>
  <xsl:param name="manufacturer"/>

  <xsl:template match="/*">
    <xsl:variable name="kopf" select="nachrichtenkopf.g2g"/>
    <xbauk:prozessnachrichten.eingangsbestaetigung.1120 standard="XBau-Kernmodul" version="1.3.0"
        produkt="{$product}" produktversion="{$product_version}" produkthersteller="{$manufacturer}">
      <xsl:if test="$test = 'true'"><xsl:attribute name="test">true</xsl:attribute></xsl:if>
      <nachrichtenkopf.g2g>
        <identifikation.nachricht>
          <nachrichtenUUID><xsl:value-of select="$message_id"/></nachrichtenUUID>
          <nachrichtentyp listURI="urn:xoev-de:xbau-kernmodul:codeliste:xbau-kernmodul-nachrichten" listVersionID="3.0">
            <code>1120</code>
          </nachrichtentyp>
          <erstellungszeitpunkt><xsl:value-of select="$created"/></erstellungszeitpunkt>
        </identifikation.nachricht>
        <leser><xsl:copy-of select="$kopf/autor/*"/></leser>
        <autor><xsl:copy-of select="$kopf/leser/*"/></autor>
      </nachrichtenkopf.g2g>
      <bezug>
        <referenz><xsl:value-of select="$kopf/identifikation.nachricht/nachrichtenUUID"/></referenz>
        <vorgang><xsl:value-of select="$reference"/></vorgang>
        <bezugNachricht>
          <g2g:nachrichtenUUID><xsl:value-of select="$kopf/identifikation.nachricht/nachrichtenUUID"/></g2g:nachrichtenUUID>
          <g2g:nachrichtentyp>
            <xsl:copy-of select="$kopf/identifikation.nachricht/nachrichtentyp/@*"/>
            <xsl:copy-of select="$kopf/identifikation.nachricht/nachrichtentyp/*"/>
          </g2g:nachrichtentyp>
          <g2g:erstellungszeitpunkt>
            <xsl:value-of select="$kopf/identifikation.nachricht/erstellungszeitpunkt"/>
          </g2g:erstellungszeitpunkt>
        </bezugNachricht>
      </bezug>
      <information>
        <textabsatz>
          <xsl:text>Die Nachricht ist am </xsl:text><xsl:value-of select="$received_on"/>
          <xsl:text> unter der Eingangsnummer </xsl:text><xsl:value-of select="$reference"/>
          <xsl:text> eingegangen und gespeichert.</xsl:text>
        </textabsatz>
      </information>
    </xbauk:prozessnachrichten.eingangsbestaetigung.1120>
  </xsl:template>
</xsl:stylesheet>
