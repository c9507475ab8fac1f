<?xml version="1.0" encoding="UTF-8"?>
<!--
  Rückweisung nach XBau-Kernmodul 1.3 (prozessnachrichten.rueckweisung.G2G.1100) zu einer Nachricht von XBau oder dem
  Kernmodul. In der manifest.toml des Pakets eintragen; eine Rückweisung wird nie selbst zurückgewiesen:

      [answers]
      rejection = "xbau-kernmodul-1100.xslt"
      roots = ["prozessnachrichten.rueckweisung.G2G.1100", "prozessnachrichten.eingangsbestaetigung.1120"]
-->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:xbauk="http://www.xleitstelle.de/xbau/kernmodul/1/3/0"
                xmlns:g2g="http://xoev.de/schemata/basisnachricht/g2g/1_1"
                exclude-result-prefixes="g2g">
  <xsl:output method="xml" encoding="UTF-8" indent="yes"/>
  <xsl:param name="message_id"/>
  <xsl:param name="created"/>
  <xsl:param name="test"/>
  <xsl:param name="product"/>
  <xsl:param name="product_version"/>
  <xsl:param name="manufacturer"/>
  <xsl:param name="code"/>
  <xsl:param name="reason"/>
  <xsl:param name="original"/>

  <xsl:template match="/*">
    <xsl:variable name="kopf" select="nachrichtenkopf.g2g"/>
    <xbauk:prozessnachrichten.rueckweisung.G2G.1100 standard="XBau-Kernmodul" version="1.3.0"
        produkt="{$product}" produktversion="{$product_version}" produkthersteller="{$manufacturer}">
      <xsl:if test="$test = 'true'"><xsl:attribute name="test">true</xsl:attribute></xsl:if>
      <nachrichtenkopf.g2g>
        <identifikation.nachricht>
          <nachrichtenUUID><xsl:value-of select="$message_id"/></nachrichtenUUID>
          <nachrichtentyp listURI="urn:xoev-de:xbau-kernmodul:codeliste:xbau-kernmodul-nachrichten" listVersionID="3.0">
            <code>1100</code>
          </nachrichtentyp>
          <erstellungszeitpunkt><xsl:value-of select="$created"/></erstellungszeitpunkt>
        </identifikation.nachricht>
        <leser><xsl:copy-of select="$kopf/autor/*"/></leser>
        <autor><xsl:copy-of select="$kopf/leser/*"/></autor>
      </nachrichtenkopf.g2g>
      <rueckweisungDaten>
        <rueckweisungsgrund>
          <grund listURI="urn:xoev-de:xbau:codeliste:xbau-fehlerkennzahlen" listVersionID="2.2">
            <code>
              <xsl:choose>
                <xsl:when test="$code = 'S010'">X010</xsl:when>
                <xsl:when test="$code = 'S011'">X011</xsl:when>
                <xsl:when test="$code = 'S100'">S050</xsl:when>
                <xsl:when test="contains('|X000|X001|V000|V001|T080|', concat('|', $code, '|'))">
                  <xsl:value-of select="$code"/>
                </xsl:when>
                <xsl:otherwise>S999</xsl:otherwise>
              </xsl:choose>
            </code>
          </grund>
          <xsl:if test="$reason != ''"><fehlertext><xsl:value-of select="$reason"/></fehlertext></xsl:if>
        </rueckweisungsgrund>
        <idNachricht>
          <g2g:nachrichtenUUID><xsl:value-of select="$kopf/identifikation.nachricht/nachrichtenUUID"/></g2g:nachrichtenUUID>
          <g2g:nachrichtentyp>
            <xsl:copy-of select="$kopf/identifikation.nachricht/nachrichtentyp/@*"/>
            <xsl:copy-of select="$kopf/identifikation.nachricht/nachrichtentyp/*"/>
          </g2g:nachrichtentyp>
          <g2g:erstellungszeitpunkt>
            <xsl:value-of select="$kopf/identifikation.nachricht/erstellungszeitpunkt"/>
          </g2g:erstellungszeitpunkt>
        </idNachricht>
        <nachricht><xsl:value-of select="$original"/></nachricht>
      </rueckweisungDaten>
    </xbauk:prozessnachrichten.rueckweisung.G2G.1100>
  </xsl:template>
</xsl:stylesheet>
